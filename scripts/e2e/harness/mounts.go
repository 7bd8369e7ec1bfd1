package harness

import "os"

// InMounts is a Config.Wrap that starts berth in a mount namespace of its own,
// after a shell script that finds the root in $root has mounted what it likes.
// What it mounted goes with the process.
func InMounts(root, script string) []string {
	line := []string{"unshare", "--mount", "--propagation", "private"}
	if os.Geteuid() != 0 {
		line = append(line, "--map-root-user")
	}
	return append(line, "sh", "-ec", "root=$1; shift; "+script+"\nexec \"$@\"", "sh", root)
}
