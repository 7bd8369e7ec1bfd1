package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Address is one place to listen at.
type Address struct {
	Network string // "tcp", "tcp4", "tcp6" or "unix", as net.Listen takes it
	Addr    string // "host:port", or a path
}

// Listen returns the addresses of http.address with their ports.
func (c *Config) Listen() []Address {
	out := make([]Address, 0, len(c.HTTP.Address))
	for _, s := range c.HTTP.Address {
		a, err := parseAddress(s, c.HTTP.Port)
		if err != nil {
			panic("config: an address was not checked: " + err.Error())
		}
		out = append(out, a)
	}
	return separate(out)
}

// separate keeps 0.0.0.0 from taking the IPv6 addresses, as package net would
// have it, and [::] from taking the IPv4 ones where 0.0.0.0 is there too.
func separate(addresses []Address) []Address {
	for i, a := range addresses {
		if strings.HasPrefix(a.Addr, "0.0.0.0:") {
			addresses[i].Network = "tcp4"
		}
	}
	for i, a := range addresses {
		port, ok := strings.CutPrefix(a.Addr, "[::]:")
		if ok && slices.Contains(addresses, Address{"tcp4", "0.0.0.0:" + port}) {
			addresses[i].Network = "tcp6"
		}
	}
	return addresses
}

// parseAddress reads one member of http.address.
func parseAddress(s string, port Port) (Address, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		return unixAddress(strings.TrimPrefix(path, "//"))
	}
	host, portText := s, strconv.Itoa(int(port))
	if bare, ok := strings.CutPrefix(s, "["); ok && strings.HasSuffix(bare, "]") {
		host = strings.TrimSuffix(bare, "]")
	} else if !isIP(s) && strings.Contains(s, ":") {
		var err error
		if host, portText, err = net.SplitHostPort(s); err != nil {
			return Address{}, fmt.Errorf("%s is neither an IP address nor host:port", quote(s))
		}
	}
	if n, err := strconv.ParseUint(portText, 10, 16); err != nil || strconv.FormatUint(n, 10) != portText {
		return Address{}, fmt.Errorf("%s has no port from 0 to 65535", quote(s))
	}
	if host != "" && !isIP(host) && !isHostName(host) {
		return Address{}, fmt.Errorf("%s is neither an IP address nor a host name", quote(host))
	}
	return Address{"tcp", net.JoinHostPort(host, portText)}, nil
}

// maxUnixPath is what the kernel takes, less the final zero.
const maxUnixPath = 107

func unixAddress(path string) (Address, error) {
	switch {
	case !filepath.IsAbs(path):
		return Address{}, errors.New(`a unix socket's path has to be absolute, such as "unix:/run/berth.sock"`)
	case len(path) > maxUnixPath:
		return Address{}, fmt.Errorf("a unix socket's path has at most %d bytes", maxUnixPath)
	}
	return Address{"unix", filepath.Clean(path)}, nil
}

func isIP(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// isHostName tells whether s has the form of a host name (RFC 1123) and is no
// mere number.
func isHostName(s string) bool {
	if len(s) > 253 {
		return false
	}
	letter := false
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			isLetter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
			if !isLetter && (r < '0' || r > '9') && r != '-' {
				return false
			}
			letter = letter || isLetter
		}
	}
	return letter
}
