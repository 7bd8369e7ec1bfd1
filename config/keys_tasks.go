package config

// taskKeys are of work in the background, and of the socket that tells of it.
func taskKeys() []Key {
	return []Key{
		{
			Path: "tasks.workers", Default: "1", Example: "2", Allowed: "a number from 1 to 16", min: 1, max: maxWorkers,
			Doc:   "How many tasks in the background run at a time. Each has a thread of the least priority, for the processor and for disks.",
			field: func(c *Config) any { return &c.Tasks.Workers },
		}, {
			Path: "tasks.ioRate", Default: "0", Example: `"20MiB"`, Allowed: `0, or a size a second of at least 64KiB, such as "20MiB"`, check: atLeastUnlessZero(64 << 10), Reload: true,
			Doc:   "How many bytes a second all tasks together read and write at most. 0 sets no limit; tasks hold back while requests are being answered anyhow.",
			field: func(c *Config) any { return &c.Tasks.IORate },
		}, {
			Path: "tasks.pressure", Default: "50", Example: "20", Allowed: "a number from 0 to 100", max: 100, Reload: true,
			Doc:   "Tasks hold back while other work waits for the processor or for disks for more than this percentage of the time, as the kernel measures it (`/proc/pressure`), where it does. 0 lets them go on.",
			field: func(c *Config) any { return &c.Tasks.Pressure },
		}, {
			Path: "tasks.window", Example: `"01:00-05:00"`, Allowed: `two times of the day, such as "01:00-05:00", or nothing for always`, check: checkWindow, Reload: true,
			Doc:   "When heavy tasks may run, by the local time; \"22:00-04:00\" goes over midnight. One that is not done by then goes on in the next window. It holds up no task that a command asks for, and nothing while the clock shows a year before 2020, since it was never set then.",
			field: func(c *Config) any { return &c.Tasks.Window },
		}, {
			Path: "scheduler.numWorkers", Default: "0", Example: "2", Allowed: "a number from 0 to 16", max: maxWorkers,
			Doc:   "Another name of `tasks.workers`, in existing files. 0: what that says.",
			field: func(c *Config) any { return &c.Tasks.NumWorkers },
		}, {
			Path: "admin.socket", Example: `"/run/berth/admin.sock"`, Allowed: `a path, "off", or nothing`,
			Doc:   "The unix socket by which commands such as `berth tasks` talk to the server; only root and the server's own user may. Without a value it is `.berth/admin.sock` in the root directory, and where that is read-only there is none. `off`: none.",
			field: func(c *Config) any { return &c.Admin.Socket },
		},
	}
}

const maxWorkers = 16
