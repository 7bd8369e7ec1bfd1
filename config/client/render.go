package client

import (
	"fmt"
	"strings"
)

// containerd writes hosts.toml files, one for each registry, see containerd's
// docs/hosts.md.
func (s Setup) containerd() Plan {
	const dir = "/etc/containerd/certs.d/"
	ca := dir + s.Registry + "/ca.crt"
	hosts := func(server, at, capabilities, more string) string {
		text := mark + fmt.Sprintf("server = %q\n\n[host.%q]\n  capabilities = [%s]\n", server, at, capabilities)
		if s.CA != nil {
			text += fmt.Sprintf("  ca = %q\n", ca)
		}
		return text + more
	}
	p := Plan{Files: []File{{
		Path:    dir + s.Registry + "/hosts.toml",
		Content: hosts(s.url(), s.url(), `"pull", "resolve", "push"`, ""),
	}}}
	for _, m := range s.Mirrors {
		at, more := s.url(), ""
		if m.Prefix != "" {
			at, more = at+"/v2/"+m.Prefix, "  override_path = true\n"
		}
		p.Files = append(p.Files, File{
			Path:    dir + m.Upstream + "/hosts.toml",
			Content: hosts(upstreamURL(m.Upstream), at, `"pull", "resolve"`, more),
		})
	}
	p.Files = append(p.Files, s.ca(ca)...)
	p.Notes = append(s.trust(),
		`containerd reads these files where its config.toml says so. containerd 2: [plugins."io.containerd.cri.v1.images".registry] config_path = "/etc/containerd/certs.d". containerd 1.5 to 1.7: [plugins."io.containerd.grpc.v1.cri".registry] config_path = "/etc/containerd/certs.d". After a change there: systemctl restart containerd. Changes of the files themselves need no restart.`,
		"ctr takes them by --hosts-dir /etc/containerd/certs.d; nerdctl as they are.",
		s.fallback())
	return p
}

// upstreamURL is where an upstream's API is.
func upstreamURL(upstream string) string {
	if upstream == "docker.io" {
		return "https://registry-1.docker.io"
	}
	return "https://" + upstream
}

// fallback says what happens when the mirror has no answer.
func (s Setup) fallback() string {
	if len(s.Mirrors) == 0 {
		return "No other registry is mirrored: --mirror docker.io,quay.io names those whose images are to be asked for here first."
	}
	return "What " + s.Registry + " does not have, or while it is not there, the client asks the upstream registry for."
}

// k3s writes registries.yaml, of which k3s makes containerd's files.
func (s Setup) k3s() Plan {
	const ca = "/etc/rancher/k3s/berth-ca.crt"
	var b strings.Builder
	fmt.Fprintf(&b, "%smirrors:\n  %q:\n    endpoint:\n      - %q\n", mark, s.Registry, s.url())
	for _, m := range s.Mirrors {
		fmt.Fprintf(&b, "  %q:\n    endpoint:\n      - %q\n", m.Upstream, s.url())
		if m.Prefix != "" {
			fmt.Fprintf(&b, "    rewrite:\n      \"^(.*)$\": %q\n", m.Prefix+"/$1")
		}
	}
	if s.CA != nil {
		fmt.Fprintf(&b, "configs:\n  %q:\n    tls:\n      ca_file: %q\n", s.Registry, ca)
	}
	p := Plan{Files: append([]File{{Path: "/etc/rancher/k3s/registries.yaml", Content: b.String()}}, s.ca(ca)...)}
	p.Notes = append(s.trust(),
		"k3s reads the file when it starts: systemctl restart k3s, or k3s-agent, on every node. Containers go on running. For RKE2 it is /etc/rancher/rke2/registries.yaml, with the same content.",
		s.fallback())
	return p
}

// containers writes a drop-in for containers-registries.conf(5), which podman,
// buildah, skopeo and CRI-O read.
func (s Setup) containers(kind string) Plan {
	var b strings.Builder
	b.WriteString(mark)
	at := func(table, location string, insecure bool) {
		fmt.Fprintf(&b, "\n[[%s]]\nlocation = %q\n", table, location)
		if insecure {
			b.WriteString("insecure = true\n")
		}
	}
	at("registry", s.Registry, s.Plain)
	for _, m := range s.Mirrors {
		at("registry", m.Upstream, false)
		location := s.Registry
		if m.Prefix != "" {
			location += "/" + m.Prefix
		}
		at("registry.mirror", location, s.Plain)
	}
	p := Plan{Files: []File{{Path: "/etc/containers/registries.conf.d/50-berth.conf", Content: b.String()}}}
	p.Files = append(p.Files, s.ca("/etc/containers/certs.d/"+s.Registry+"/ca.crt")...)
	p.Notes = s.trust()
	if kind == "crio" {
		p.Notes = append(p.Notes, "CRI-O reads the file again at systemctl reload crio.")
	} else {
		p.Notes = append(p.Notes, "podman, buildah and skopeo read the file each time they run; so does CRI-O at a reload. A user's own ~/.config/containers/registries.conf and registries.conf.d take the system's place.")
	}
	p.Notes = append(p.Notes, s.fallback())
	return p
}
