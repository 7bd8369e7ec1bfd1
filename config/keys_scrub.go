package config

// scrubKeys are those of extensions.scrub.
func scrubKeys() []Key {
	return []Key{
		{
			Path: "extensions.scrub.enable", Default: "false", Allowed: "true or false", Example: "true",
			Doc:   "Read everything that is stored again and again, and compare it with its digests: what decayed on the disk is found, reported and taken out of service, and heals when the same content is pushed again. A section that gives an `interval` alone turns it on too. `berth scrub` does one round in any case.",
			field: func(c *Config) any { return &c.Extensions.Scrub.Enable },
		}, {
			Path: "extensions.scrub.interval", Default: "24h", Example: `"168h"`, Allowed: `a duration, such as "24h"`,
			Doc:   "The time from the end of a round to the next. Less than 2 hours count as 2 hours, which the log says.",
			field: func(c *Config) any { return &c.Extensions.Scrub.Interval },
		},
	}
}

// implyScrub turns the scrub on where a section gives its interval and nothing
// else, as files of the reference registry may.
func implyScrub(c *Config) {
	_, interval := c.origins["extensions.scrub.interval"]
	_, enable := c.origins["extensions.scrub.enable"]
	if interval && !enable {
		c.Extensions.Scrub.Enable = true
	}
}
