package xmlscan

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func scan(r io.Reader, limit int64) (ends []string, err error) {
	err = Scan(r, limit, func(path, text []byte) error {
		ends = append(ends, string(path)+"="+strings.TrimSpace(string(text)))
		return nil
	})
	return ends, err
}

func TestScan(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"list": {
			"<?xml version=\"1.0\"?>\n<L xmlns=\"http://x/\">\n <C><K>a&amp;b&#xD;&#10;&lt;</K><S>12</S></C>\n<C><K/></C> <T >false</T\t></L>\n",
			[]string{"L/C/K=a&b\r\n<", "L/C/S=12", "L/C=", "L/C/K=", "L/C=", "L/T=false", "L="},
		},
		"prefix, comment, CDATA": {
			"\xef\xbb\xbf<!-- > <x> -- --><s:E a='>' b=\"/\"><s:M>x<![CDATA[<&amp;>]]]>y</s:M><!----></s:E>",
			[]string{"E/M=x<&amp;>]y", "E="},
		},
		"alone": {"<Error/>", []string{"Error="}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(c.text), iotest.OneByteReader(strings.NewReader(c.text))} {
				got, err := scan(r, int64(len(c.text)))
				if err != nil || !slices.Equal(got, c.want) {
					t.Errorf("got %q, %v; want %q", got, err, c.want)
				}
			}
		})
	}
}

func TestScanRefuses(t *testing.T) {
	long := strings.Repeat("x", maxText+1)
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"nothing":         {"", ErrSyntax},
		"text":            {"hello", ErrSyntax},
		"text before":     {"x<a></a>", ErrSyntax},
		"html":            {"<!DOCTYPE html><html></html>", ErrSyntax},
		"cut in text":     {"<a><b>x", io.ErrUnexpectedEOF},
		"cut in tag":      {"<a><b", io.ErrUnexpectedEOF},
		"wrong end":       {"<a><b></a></b>", ErrSyntax},
		"end alone":       {"</a>", ErrSyntax},
		"unknown entity":  {"<a>&nbsp;</a>", ErrSyntax},
		"bare ampersand":  {"<a>x & y</a>", ErrSyntax},
		"surrogate":       {"<a>&#xD800;</a>", ErrSyntax},
		"empty reference": {"<a>&#x;</a>", ErrSyntax},
		"empty tag":       {"<a><></a>", ErrSyntax},
		"tag in tag":      {"<a <b></a>", ErrSyntax},
		"deep":            {strings.Repeat("<a>", maxDepth+1), ErrSyntax},
		"long text":       {"<a>" + long + "</a>", ErrSyntax},
		"long tag":        {"<" + long + "></a>", ErrSyntax},
		"long sections":   {"<a>" + strings.Repeat("<![CDATA["+long[:maxText/2]+"]]>", 3) + "</a>", ErrSyntax},
		"too large":       {"<a>" + strings.Repeat("<b>x</b>", 1<<16) + "</a>", ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := scan(strings.NewReader(c.text), 1<<18); !errors.Is(err, c.want) {
				t.Errorf("error is %v, want %v", err, c.want)
			}
		})
	}
}

func TestScanErrors(t *testing.T) {
	stop := errors.New("stop")
	if err := Scan(strings.NewReader("<a><b/></a>"), 100, func(_, _ []byte) error { return stop }); err != stop {
		t.Errorf("error of the callback comes back as %v", err)
	}
	if _, err := scan(iotest.ErrReader(stop), 100); !errors.Is(err, stop) {
		t.Errorf("error of the reader comes back as %v", err)
	}
}

func FuzzScan(f *testing.F) {
	f.Add("<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>a &lt; b</Message></Error>")
	f.Add("<a b='>'><![CDATA[&]]>&#65;<!-- - --></a>")
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = scan(strings.NewReader(text), 1<<20)
		got, err := scan(strings.NewReader("<a>"+Escape(text)+"</a>"), 1<<20)
		want := "a=" + strings.TrimSpace(text)
		if len(Escape(text)) <= maxText && !strings.Contains(text, "\x00") && (err != nil || len(got) != 1 || got[0] != want) {
			t.Errorf("%q comes back as %q, %v", text, got, err)
		}
	})
}
