// Package durable is the one place of berth that writes files. It has the
// small interfaces through which everything reaches the medium (FS, File), the
// implementation over the kernel's calls (OpenRoot), and the composite writes
// whose comments give the sequence of calls and name the commit point.
//
// Paths are relative to the root that was opened, in slash form, "." for the
// root itself. Errors of the kernel come wrapped in *fs.PathError or
// *os.LinkError, so that errors.Is works with fs.ErrNotExist and syscall.Errno.
//
// Symbolic links are followed where an existing thing is read (a layout made
// elsewhere may link its blobs or a whole repository to another place of the
// machine: who can make a link there can copy the content just as well). What
// is created or written to is never reached through a link in its last
// component.
package durable
