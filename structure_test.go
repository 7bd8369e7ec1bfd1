package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"berth/config"
)

// mayImport is the map of the design: which packages of berth a package may
// import. A path that ends in /... stands for a package and all below it. The
// first row that matches a package counts.
var mayImport = []mapRow{
	{"berth", []string{"berth/..."}},
	{"berth/config", nil},
	{"berth/config/client", nil},
	{"berth/config/manual", []string{"berth/config", "berth/config/client"}},
	{"berth/oci", nil},
	{"berth/oci/glob", nil},
	{"berth/oci/budget", []string{"berth/oci"}},
	{"berth/oci/registry", []string{"berth/oci"}},
	{"berth/oci/subpath", []string{"berth/oci"}},
	{"berth/oci/ocitest", []string{"berth/oci", "berth/oci/registry"}},
	{"berth/httpd/auth", []string{"berth/oci"}},
	{"berth/httpd", []string{"berth/httpd/auth", "berth/oci/registry", "berth/oci"}},
	{"berth/fsstore/durable", nil},
	{"berth/fsstore/archive/archivetest", []string{"berth/oci"}},
	{"berth/fsstore/archive", []string{"berth/oci/subpath", "berth/oci"}},
	{"berth/fsstore/media", []string{"berth/fsstore/archive", "berth/oci/subpath", "berth/oci"}},
	{"berth/fsstore/...", []string{"berth/fsstore/...", "berth/oci"}},
	{"berth/s3lite/store/...", []string{"berth/s3lite/...", "berth/oci"}},
	{"berth/s3lite/...", []string{"berth/s3lite/..."}},
	{"berth/cache/dynamo", []string{"berth/oci", "berth/s3lite/sigv4", "berth/s3lite/wire"}},
	{"berth/cache/...", []string{"berth/cache", "berth/oci"}},
	{"berth/tasks", nil},
	{"berth/tasks/...", []string{"berth/tasks", "berth/tasks/usage", "berth/oci/budget", "berth/oci/glob", "berth/oci/registry", "berth/oci"}},
	{"berth/ext/all", []string{"berth/ext/..."}},
	{"berth/ext/...", []string{"berth/httpd", "berth/tasks", "berth/oci/registry", "berth/oci"}},
}

type mapRow struct {
	pkg     string
	imports []string
}

// onlyIn lists modules that a few packages, with those below them, have to
// themselves.
var onlyIn = map[string][]string{
	"github.com/valyala/fasthttp":       {"berth/httpd"},
	"github.com/BurntSushi/toml":        {"berth/config"},
	"github.com/coreos/go-systemd":      {"berth"},
	"github.com/dgraph-io/badger":       {"berth/cache"},
	"github.com/stretchr/testify":       {"nowhere"},
	"golang.org/x/tools":                {"nowhere"},
	"berth/fsstore/archive/archivetest": {"nowhere but tests"},
	"berth/oci/ocitest":                 {"nowhere but tests"},
	"berth/fsstore/simfs":               {"nowhere but tests"},
	"berth/s3lite/s3test":               {"nowhere but tests"},
	"testing":                           {"berth/oci/ocitest", "berth/fsstore/archive/archivetest"},
}

// sourceFile is one parsed file of the module.
type sourceFile struct {
	pkg  string // import path
	path string
	test bool
	ast  *ast.File
	fset *token.FileSet
}

// sources parses every file of the module, those of other modules inside the
// tree left out.
func sources(t *testing.T) []sourceFile {
	t.Helper()
	var files []sourceFile
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && p != "." && (ownModule(p) || d.Name()[0] == '.' || slices.Contains([]string{"testdata", "build", "bin", "dist"}, d.Name())) {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") {
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, p, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		pkg := path.Join("berth", filepath.ToSlash(filepath.Dir(p)))
		files = append(files, sourceFile{pkg, p, strings.HasSuffix(p, "_test.go"), f, fset})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func ownModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func covers(pattern, pkg string) bool {
	base, tree := strings.CutSuffix(pattern, "/...")
	return pkg == base || tree && strings.HasPrefix(pkg, base+"/")
}

// TestImportDirection fails when an import runs another way than the map.
// Tests may import more: a store's test runs the suite of oci/ocitest.
func TestImportDirection(t *testing.T) {
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		row := slices.IndexFunc(mayImport, func(r mapRow) bool { return covers(r.pkg, f.pkg) })
		if row < 0 {
			t.Errorf("%s: package %s is not on the map of the design", f.path, f.pkg)
			continue
		}
		for _, imported := range imports(f) {
			own := imported == "berth" || strings.HasPrefix(imported, "berth/")
			allowed := func(pattern string) bool { return covers(pattern, imported) }
			if own && !slices.ContainsFunc(mayImport[row].imports, allowed) {
				t.Errorf("%s imports %s; package %s may import %v", f.path, imported, f.pkg, mayImport[row].imports)
			}
			checkHome(t, f, imported)
		}
	}
}

// checkHome fails when a module is imported outside of the packages that have
// it to themselves.
func checkHome(t *testing.T, f sourceFile, imported string) {
	atHome := func(home string) bool { return f.pkg == home || home != "berth" && covers(home+"/...", f.pkg) }
	for module, homes := range onlyIn {
		if strings.HasPrefix(imported+"/", module+"/") && !slices.ContainsFunc(homes, atHome) {
			t.Errorf("%s imports %s, which is for %v only", f.path, imported, homes)
		}
	}
}

func imports(f sourceFile) []string {
	var out []string
	for _, spec := range f.ast.Imports {
		out = append(out, strings.Trim(spec.Path.Value, `"`))
	}
	return out
}

// TestPackageDocs: every package says what it owns, in one file.
func TestPackageDocs(t *testing.T) {
	docs := map[string]int{}
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		docs[f.pkg] += 0
		if f.ast.Doc != nil {
			docs[f.pkg]++
			if text := f.ast.Doc.Text(); !strings.HasPrefix(text, "Package ") && !strings.HasPrefix(text, "Command ") || len(text) < 80 {
				t.Errorf("%s: the package's doc comment says too little: %q", f.path, text)
			}
		}
	}
	for pkg, n := range docs {
		if n != 1 {
			t.Errorf("package %s has %d doc comments, want one", pkg, n)
		}
	}
}

const maxFileLines, maxFuncLines = 500, 60

// TestSizes asks for a second look at what grows too large.
func TestSizes(t *testing.T) {
	for _, f := range sources(t) {
		line := func(p token.Pos) int { return f.fset.Position(p).Line }
		if n := line(f.ast.End()); n > maxFileLines {
			t.Errorf("%s has %d lines, over %d", f.path, n, maxFileLines)
		}
		for _, decl := range f.ast.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := line(fn.End()) - line(fn.Pos()) + 1; n > maxFuncLines && !isTable(fn) {
				t.Errorf("%s: %s has %d lines, over %d", f.path, fn.Name.Name, n, maxFuncLines)
			}
			if fn.Name.Name == "init" && fn.Recv == nil {
				t.Errorf("%s has an init function", f.path)
			}
		}
	}
}

// isTable tells whether a function is one statement, as one that returns a
// table is.
func isTable(fn *ast.FuncDecl) bool { return fn.Body != nil && len(fn.Body.List) == 1 }

// TestExportedNamesAreDocumented covers top-level names and methods, but for
// those whose name says everything.
func TestExportedNamesAreDocumented(t *testing.T) {
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		for _, decl := range f.ast.Decls {
			for name, doc := range exported(decl) {
				plain := slices.Contains([]string{"Error", "String", "Unwrap"}, name)
				if doc.Text() == "" && !plain {
					t.Errorf("%s: %s has no doc comment", f.path, name)
				}
			}
		}
	}
}

// exported returns a declaration's exported names and their comments. In a
// group, the group's comment or that at a line's end will do.
func exported(decl ast.Decl) map[string]*ast.CommentGroup {
	out := map[string]*ast.CommentGroup{}
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d))) {
			out[d.Name.Name] = d.Doc
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() {
					out[s.Name.Name] = first(s.Doc, s.Comment, d.Doc)
				}
			case *ast.ValueSpec:
				for _, name := range s.Names {
					if name.IsExported() {
						out[name.Name] = first(s.Doc, s.Comment, d.Doc)
					}
				}
			}
		}
	}
	return out
}

func first(groups ...*ast.CommentGroup) *ast.CommentGroup {
	for _, g := range groups {
		if g != nil {
			return g
		}
	}
	return nil
}

func receiver(d *ast.FuncDecl) string {
	expr := d.Recv.List[0].Type
	if star, ok := expr.(*ast.StarExpr); ok {
		expr = star.X
	}
	switch x := expr.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.IndexExpr:
		return fmt.Sprint(x.X)
	}
	return ""
}

// TestDocsNameKnownKeys: what documents call a key is one.
func TestDocsNameKnownKeys(t *testing.T) {
	known := map[string]bool{}
	for _, k := range config.Keys() {
		known[k.Path] = true
		known[path.Dir(strings.ReplaceAll(k.Path, ".", "/"))] = true
	}
	for _, name := range config.ToCome() {
		known[name] = true
	}
	quoted := regexp.MustCompile("`((?:http|storage|log)\\.[A-Za-z.]+)(?: = [^`]*)?`")
	for p, text := range documents(t) {
		for _, m := range quoted.FindAllStringSubmatch(text, -1) {
			if key := m[1]; !known[key] && !known[strings.ReplaceAll(key, ".", "/")] {
				t.Errorf("%s names the key %s, which is not known", p, key)
			}
		}
	}
}

// TestDocsNameExistingFiles: a source file that a document names is there, by
// its path or, where none is given, anywhere.
func TestDocsNameExistingFiles(t *testing.T) {
	known := map[string]bool{}
	for _, f := range sources(t) {
		known[filepath.ToSlash(f.path)] = true
		known[filepath.Base(f.path)] = true
	}
	quoted := regexp.MustCompile("`([a-z0-9_/]+\\.go)`")
	for p, text := range documents(t) {
		for _, m := range quoted.FindAllStringSubmatch(text, -1) {
			if !known[m[1]] {
				t.Errorf("%s names %s, which is not there", p, m[1])
			}
		}
	}
}

// documents returns the text of every document by its path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, p := range append(paths, "README.md") {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		texts[p] = string(text)
	}
	return texts
}
