package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// docker adds to daemon.json, which has other settings beside these and no
// comments to tell who wrote it.
func (s Setup) docker() (Plan, error) {
	mirrored, others := false, []string{}
	for _, m := range s.Mirrors {
		switch {
		case m.Upstream != "docker.io":
			others = append(others, m.Upstream)
		case m.Prefix != "":
			return Plan{}, errors.New("docker takes a mirror without a path only: it cannot find docker.io below a prefix; name the images as " + s.Registry + "/" + m.Prefix + "/…")
		default:
			mirrored = true
		}
	}
	var p Plan
	add := map[string]string{}
	if mirrored {
		add["registry-mirrors"] = s.url()
	}
	if s.Plain {
		add["insecure-registries"] = s.Registry
	}
	if len(add) > 0 {
		merge := func(old []byte) (string, error) { return mergeDaemon(old, add) }
		content, err := merge(nil)
		if err != nil {
			return Plan{}, err
		}
		p.Files = []File{{Path: "/etc/docker/daemon.json", Content: content, Merge: merge}}
		p.Notes = append(p.Notes, "dockerd reads daemon.json again at systemctl reload docker; containers go on running.")
	}
	p.Files = append(p.Files, s.ca("/etc/docker/certs.d/"+s.Registry+"/ca.crt")...)
	p.Notes = append(s.trust(), p.Notes...)
	limit := "Docker can mirror Docker Hub and nothing else."
	if len(others) > 0 {
		limit += " " + strings.Join(others, ", ") + " cannot be pulled through this registry: name the images as " + s.Registry + "/…, or use containerd or podman."
	}
	p.Notes = append(p.Notes, limit)
	return p, nil
}

// mergeDaemon adds values to lists of a daemon.json, and leaves everything else
// in it as it is.
func mergeDaemon(old []byte, add map[string]string) (string, error) {
	settings := map[string]json.RawMessage{}
	if len(strings.TrimSpace(string(old))) > 0 {
		if err := json.Unmarshal(old, &settings); err != nil {
			return "", fmt.Errorf("it is no JSON object: %w", err)
		}
	}
	if settings == nil { // null is valid JSON
		settings = map[string]json.RawMessage{}
	}
	changed := false
	for key, value := range add {
		var list []string
		if raw, ok := settings[key]; ok {
			if err := json.Unmarshal(raw, &list); err != nil {
				return "", fmt.Errorf("%s is no list of strings: %w", key, err)
			}
		}
		if slices.Contains(list, value) {
			continue
		}
		raw, err := json.Marshal(append(list, value))
		if err != nil {
			return "", err
		}
		settings[key], changed = raw, true
	}
	if !changed {
		return string(old), nil
	}
	text, err := json.MarshalIndent(settings, "", "  ")
	return string(text) + "\n", err
}
