package testproc

import "syscall"

// dieWithParent has the kernel kill the process when the thread that starts it ends, at
// the latest with this process. There is no moment in between in which it could be missed.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
