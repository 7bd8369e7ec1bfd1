package config

import (
	"strings"
	"testing"
)

// FuzzFile: no content of a file makes loading fail in another way than by
// problems that name it, and what loads is usable.
func FuzzFile(f *testing.F) {
	f.Add("a.toml", everything)
	f.Add("a.toml", "[http]\nport = -1\naddress = [1, [2], {a = 1}]\n[[log]]\nlevel = 1979-05-27")
	f.Add("a.toml", "http.tls.cert = 'x'\n\"a.b\".c = nan\nHTTP.Port = 1e9\n")
	f.Add("a.json", `{"http": {"port": "1", "PORT": 1e3, "address": [null, {}]}, "storage": null}`)
	f.Add("a.json", `{"log": {"level": "\ud800"}, "x": [[[]]], "memoryLimit": 123456789012345678901234567890}`)
	f.Add("a.toml", "[[storage.media]]\npath = 1\n[[ storage . media ]] # x\nprefix='usb'\n[storage.subPaths.'/a']\nx = [[{a=1}],{b={c=2}}]\n[storage.subPaths.b]\nrootDirectory='/b'")
	f.Add("a.json", `{"storage": {"subPaths": {"/a": {"rootDirectory": 1}, "a": {}, "": 0}, "media": [{"path": ""}, [], {}, 1]}}`)
	f.Add("a.toml", "[tasks]\nwindow = '24:00-1:00'\nworkers = 17\nioRate = '1e9k'\n[scheduler]\nnumWorkers = '2'\n")
	f.Add("a", "{")
	f.Add("a", "\xff\xfe[\x00")
	f.Fuzz(func(t *testing.T, name, content string) {
		l := newLoader()
		problems := l.content(name, []byte(content))
		for _, p := range problems {
			if p.Source != name || p.Message == "" || p.Line < 0 || p.Line > strings.Count(content, "\n")+1 {
				t.Errorf("odd problem %+v", p)
			}
		}
		if len(problems) == 0 {
			l.config.Listen()
			if from, to := l.config.Tasks.WindowTimes(); from < 0 || to < 0 || from >= lastTime || to > lastTime || (from == to) != (l.config.Tasks.Window == "") {
				t.Errorf("window %q is from %s to %s", l.config.Tasks.Window, from, to)
			}
		}
	})
}

// FuzzEnvironment is the same for variables.
func FuzzEnvironment(f *testing.F) {
	f.Add("HTTP_PORT", "1")
	f.Add("HTTP_ADDRESS", "::1,unix:/a,[")
	f.Add("MEMORYLIMIT", "9e99GiB")
	f.Add("HTTP_IDLETIMEOUT", "-1h")
	f.Fuzz(func(t *testing.T, name, value string) {
		if c, err := Load(Sources{Environ: []string{envPrefix + name + "=" + value}}); err == nil {
			c.Listen()
		}
	})
}
