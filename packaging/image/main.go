// Command image makes an OCI image of berth, from scratch and for several
// platforms, as an image layout: no engine, no base image. The same binaries
// and the same time give the same bytes.
//
// usage: image -out DIR -config FILE -version VERSION -created SECONDS PLATFORM=BINARY...
//
// PLATFORM is os/architecture or os/architecture/variant.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func main() {
	var o options
	flag.StringVar(&o.out, "out", "", "the layout's directory, which must not exist")
	flag.StringVar(&o.config, "config", "", "the configuration file")
	flag.StringVar(&o.version, "version", "", "berth's version, and the image's tag")
	flag.Int64Var(&o.created, "created", 0, "the time of creation, in seconds since 1970")
	flag.Parse()
	if err := run(o, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

type options struct {
	out, config, version string
	created              int64
}

func run(o options, args []string) error {
	if o.out == "" || o.config == "" || o.version == "" || len(args) == 0 {
		return fmt.Errorf("-out, -config, -version and a PLATFORM=BINARY are needed")
	}
	conf, err := os.ReadFile(o.config)
	if err != nil {
		return err
	}
	l, err := newLayout(o.out)
	if err != nil {
		return err
	}
	var manifests []ocispec.Descriptor
	for _, arg := range args {
		name, path, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("%q is no PLATFORM=BINARY", arg)
		}
		platform, err := parsePlatform(name)
		if err != nil {
			return err
		}
		binary, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		d, err := l.addImage(o, platform, files(binary, conf))
		if err != nil {
			return err
		}
		manifests = append(manifests, d)
	}
	return l.finish(o, manifests)
}

func parsePlatform(name string) (ocispec.Platform, error) {
	part := strings.Split(name, "/")
	if len(part) < 2 || len(part) > 3 {
		return ocispec.Platform{}, fmt.Errorf("%q is no platform: want os/architecture[/variant]", name)
	}
	p := ocispec.Platform{OS: part[0], Architecture: part[1]}
	if len(part) == 3 {
		p.Variant = part[2]
	}
	return p, nil
}

// addImage adds the image for one platform.
func (l *layout) addImage(o options, platform ocispec.Platform, files []file) (ocispec.Descriptor, error) {
	created := time.Unix(o.created, 0).UTC()
	tarball, err := tarOf(files, created)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	layer, err := l.addLayer(tarball)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	config, err := l.addJSON(ocispec.MediaTypeImageConfig, imageConfig(created, platform, tarball, labels(o)))
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{layer}, Annotations: annotations(o)}
	m.SchemaVersion = 2
	d, err := l.addJSON(ocispec.MediaTypeImageManifest, m)
	d.Platform = &platform
	return d, err
}

// finish writes the image's index, and the layout's.
func (l *layout) finish(o options, manifests []ocispec.Descriptor) error {
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: manifests, Annotations: annotations(o)}
	index.SchemaVersion = 2
	d, err := l.addJSON(ocispec.MediaTypeImageIndex, index)
	if err != nil {
		return err
	}
	var top ocispec.Index
	top.SchemaVersion, top.MediaType = 2, ocispec.MediaTypeImageIndex
	for _, tag := range []string{o.version, "latest"} {
		named := d
		named.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
		top.Manifests = append(top.Manifests, named)
	}
	return l.writeIndex(top)
}
