package peer

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Bucket is a bucket of versitygw's, where berth and docker-registry keep what
// they are given.
type Bucket struct {
	addr string
	dir  string
	cmd  *exec.Cmd
}

const (
	bucketName, bucketRegion   = "bench", "us-east-1"
	bucketAccess, bucketSecret = "bench-access", "bench-secret"
)

// StartBucket starts a gateway over an existing folder, with metadata in
// extended attributes. It runs on the processors that the load generator has.
func StartBucket(program, dir string) (*Bucket, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, bucketName), 0o755); err != nil {
		return nil, err
	}
	b := &Bucket{addr: addr, dir: dir}
	b.cmd = exec.Command(program, "--port", addr, "--access", bucketAccess, "--secret", bucketSecret,
		"--region", bucketRegion, "--keep-alive", "--quiet", "posix", dir)
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := b.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start of versitygw: %w", err)
	}
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			return b, c.Close()
		}
		if time.Now().After(deadline) {
			return nil, errors.Join(fmt.Errorf("versitygw does not serve: %w", err), b.Stop())
		}
	}
}

// Stop ends the gateway and removes what it holds.
func (b *Bucket) Stop() error {
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
	return os.RemoveAll(b.dir)
}

// Empty removes all objects, while no server uses the bucket.
func (b *Bucket) Empty() error {
	at := filepath.Join(b.dir, bucketName)
	entries, err := os.ReadDir(at)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(at, e.Name())))
	}
	return err
}

// lines put berth's repositories there.
func (b *Bucket) lines() string {
	return fmt.Sprintf("storageDriver = { name = \"s3\", region = %q, regionendpoint = %q, bucket = %q, rootdirectory = \"berth\", accesskey = %q, secretkey = %q }\n",
		bucketRegion, "http://"+b.addr, bucketName, bucketAccess, bucketSecret)
}

// yaml puts docker-registry's there; in place of its folder.
func (b *Bucket) yaml() string {
	return fmt.Sprintf(`  s3:
    region: %s
    regionendpoint: http://%s
    bucket: %s
    rootdirectory: /docker
    accesskey: %s
    secretkey: %s
    secure: false
    v4auth: true
  redirect:
    disable: true`, bucketRegion, b.addr, bucketName, bucketAccess, bucketSecret)
}
