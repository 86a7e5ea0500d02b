package format

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// page is the tables of docs/format.md, by the heading or words above them.
type page struct {
	fields map[string][]pageField // structures, field by field
	rows   map[string][][]string  // other tables by their first header cell
}

type pageField struct{ name, kind, when string }

func readPage(t *testing.T) *page {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "format.md"))
	if err != nil {
		t.Fatal(err)
	}
	p := &page{fields: map[string][]pageField{}, rows: map[string][][]string{}}
	heading, header := "", []string(nil)
	for line := range strings.SplitSeq(string(b), "\n") {
		if after, ok := strings.CutPrefix(line, "#"); ok {
			heading = strings.TrimLeft(after, "# ")
		}
		if !strings.HasPrefix(line, "|") {
			header = nil
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.Trim(cells[i], " `")
		}
		switch {
		case header == nil:
			header = cells
		case strings.HasPrefix(cells[0], "---"):
		case strings.Join(header, ",") == "field,type,if,meaning":
			p.fields[heading] = append(p.fields[heading], pageField{cells[0], cells[1], cells[2]})
		default:
			p.rows[heading+"/"+header[0]] = append(p.rows[heading+"/"+header[0]], cells)
		}
	}
	return p
}

// TestPageNumbers compares the page's numbers with the code's.
func TestPageNumbers(t *testing.T) {
	p := readPage(t)
	want := map[string]string{
		"version": strconv.Itoa(Version), "envelope magic": envelopeMagic, "commit magic": commitMagic, "base magic": baseMagic,
		"table magic": tableMagic, "chapter magic": chapterMagic, "views magic": viewsMagic, "pack header magic": packMagic, "description magic": descriptionMagic, "index magic": indexMagic,
		"header frame": fmt.Sprintf("0x%X", skippableHeader), "description frame": fmt.Sprintf("0x%X", skippableDescription),
		"index frame": fmt.Sprintf("0x%X", skippableIndex), "zstd frame": fmt.Sprintf("0x%X", uint32(zstdMagic)),
		"largest payload": strconv.Itoa(maxPayload), "largest object": strconv.Itoa(1 << 30),
		"largest frame": strconv.Itoa(maxFrame), "largest zstd block": strconv.Itoa(maxBlock),
		"commit": "1", "base": "2", "table": "3", "section": "4", "restore": "5", "chapter": "6", "views": "7", "mark": "8", "acceptance": "9", "acceptance magic": acceptanceMagic, "label": "10", "label magic": labelMagic, "tags": "11", "tags magic": tagsMagic,
	}
	for name, kind := range map[string]Kind{"commit": KindCommit, "base": KindBase, "table": KindTable, "section": KindSection, "restore": KindRestore, "chapter": KindChapter, "views": KindViews, "mark": KindMark, "acceptance": KindAcceptance, "label": KindLabel, "tags": KindTags} {
		if want[name] != strconv.Itoa(int(kind)) {
			t.Errorf("kind %s is %d", name, kind)
		}
	}
	got := map[string]string{}
	for _, row := range append(p.rows["Numbers/name"], p.rows["Numbers/kind"]...) {
		got[row[0]] = row[1]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-code +page)\n%s", diff)
	}
	for i, cause := range gapCauses()[1:] {
		for _, f := range p.fields["gap"] {
			if f.name == "cause" && f.kind != "byte" {
				t.Errorf("a cause is a %s", f.kind)
			}
		}
		text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "format.md"))
		if err != nil || !strings.Contains(string(text), fmt.Sprintf("%d: `%s`", i+1, cause)) {
			t.Errorf("cause %d, %s, is not on the page (%v)", i+1, cause, err)
		}
	}
}

var term = regexp.MustCompile(`\d+|[a-z]`)

// sum adds up an expression as 50+k+s.
func sum(t *testing.T, expression string, letters map[string]int) int {
	t.Helper()
	total := 0
	for _, part := range term.FindAllString(expression, -1) {
		n, ok := letters[part]
		if !ok {
			var err error
			if n, err = strconv.Atoi(part); err != nil {
				t.Fatalf("%q in %q has no value", part, expression)
			}
		}
		total += n
	}
	return total
}

// TestPageEnvelope cuts an envelope apart by the page's offsets and sizes.
func TestPageEnvelope(t *testing.T) {
	object := readVector(t, "envelope-stored.bin")
	payload := "too short to compress"
	letters := map[string]int{"k": len(testEnvelope.Key), "s": len(payload)}
	sha := HashOf(object[:len(object)-32])
	want := map[string]string{
		"magic": "CSTR", "version": "\x01", "kind": "\x01", "sealing": "\x00", "compression": "\x00", "key ID": strings.Repeat("\x00", 8),
		"vault ID": string(testVault[:]), "key length": "\x00\x36", "key": testEnvelope.Key, "decoded length": "\x00\x00\x00\x00\x00\x00\x00\x15",
		"stored length": "\x00\x00\x00\x00\x00\x00\x00\x15", "payload": payload, "hash": string(sha[:]),
	}
	got, next := map[string]string{}, 0
	for _, row := range readPage(t).rows["Envelopes/offset"] {
		at, size := sum(t, row[0], letters), sum(t, row[1], letters)
		if at != next || at+size > len(object) {
			t.Fatalf("%s is at %d with %d bytes, behind %d of %d", row[2], at, size, next, len(object))
		}
		got[row[2]], next = string(object[at:at+size]), at+size
	}
	if diff := cmp.Diff(want, got); diff != "" || next != len(object) {
		t.Errorf("%d of %d bytes (-want +got)\n%s", next, len(object), diff)
	}
}

// pageReader takes payloads apart by the page alone: what it gets right somebody else can
// get right.
type pageReader struct {
	*page
	b []byte
	// version is that of the structure that began with a magic.
	version byte
	out     []string // path = value, of all that is a number or text
}

func (r *pageReader) take(n int) []byte {
	if n > len(r.b) {
		panic(fmt.Sprintf("%d bytes are wanted where %d are left", n, len(r.b)))
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *pageReader) varint() uint64 {
	v, n := binary.Uvarint(r.b)
	r.take(max(n, 1))
	return v
}

func (r *pageReader) structure(path, name string) {
	fields := r.fields[name]
	if len(fields) == 0 {
		panic("no structure " + name)
	}
	empty := map[string]bool{}
	for _, f := range fields {
		empty["version 2"], empty["version 3"] = r.version < 2, r.version < 3
		other, not := strings.CutPrefix(f.when, "not ")
		if f.when != "" && empty[other] != not {
			continue
		}
		empty[f.name] = r.field(path+"/"+f.name, f.kind)
	}
}

// field reads one field and tells whether it is empty.
func (r *pageReader) field(path, kind string) (isEmpty bool) {
	value, first, rest := "", "", ""
	first, rest, _ = strings.Cut(kind, " ")
	size, err := strconv.Atoi(first)
	switch {
	case first == "magic":
		value = string(r.take(4))
		if r.version = r.take(1)[0]; value != rest {
			panic(path + ": magic " + value)
		}
	case err == nil && rest == "bytes":
		value = hex.EncodeToString(r.take(size))
	case kind == "byte" || kind == "flag":
		value = strconv.Itoa(int(r.take(1)[0]))
	case first == "u31" || first == "u32" || first == "u63" || first == "index":
		value = strconv.FormatUint(r.varint(), 10)
	case first == "i16" || first == "i32" || first == "i64":
		u := r.varint()
		value = strconv.FormatInt(int64(u>>1)^-int64(u&1), 10)
	case kind == "string":
		value = string(r.take(int(r.varint())))
	case strings.HasPrefix(kind, "list of "):
		n := int(r.varint())
		for i := range n {
			r.structure(path+"/"+strconv.Itoa(i), strings.TrimPrefix(kind, "list of "))
		}
		return n == 0
	default:
		r.structure(path, kind)
		return false
	}
	r.out = append(r.out, path+" = "+value)
	return value == "" || value == "0"
}

// TestPageStructures reads every vector to its last byte by the page's tables.
func TestPageStructures(t *testing.T) {
	p := readPage(t)
	index := readVector(t, "packindex-two-frames.bin")
	read := map[string][]string{}
	for _, c := range []struct {
		file, structure string
		b               []byte
	}{
		{"commit-full.bin", "commit", nil}, {"commit-empty.bin", "commit", nil}, {"commit-empty-rows.bin", "commit", nil}, {"commit-passes.bin", "commit", nil},
		{"commit-reached.bin", "commit", nil}, {"commit-reached-again.bin", "commit", nil},
		{"base-passes.bin", "base", nil},
		{"base-full.bin", "base", nil}, {"base-of-epoch-0.bin", "base", nil}, {"chapter-full.bin", "chapter", nil}, {"chapter-empty.bin", "chapter", nil},
		{"chapter-of-the-fold.bin", "chapter", nil}, {"chapter-of-the-fold-empty.bin", "chapter", nil}, {"views-full.bin", "views", nil}, {"views-empty.bin", "views", nil},
		{"acceptance-of-offsets.bin", "acceptance", nil}, {"acceptance-of-an-object.bin", "acceptance", nil}, {"label-of-a-host.bin", "label", nil}, {"tags-signed.bin", "tags", nil}, {"tags-none.bin", "tags", nil},
		{"table-full.bin", "table", nil}, {"table-empty.bin", "table", nil},
		{"packheader-plain.bin", "pack header", readVector(t, "packheader-plain.bin")[8:]},
		{"description-two-blocks.bin", "description", readVector(t, "description-two-blocks.bin")[8:]},
		{"packindex-two-frames.bin", "pack index", index[8 : len(index)-36]},
	} {
		if c.b == nil {
			c.b = readVector(t, c.file)
		}
		r := &pageReader{page: p, b: c.b}
		func() {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("%s: %v, after %q", c.file, p, r.out)
				}
			}()
			r.structure("", c.structure)
		}()
		if len(r.b) > 0 {
			t.Errorf("%s: the page leaves %d bytes over", c.file, len(r.b))
		}
		read[c.file] = r.out
	}
	all := strings.Join(slices.Concat(read["commit-full.bin"], read["commit-passes.bin"], read["commit-reached.bin"], read["commit-reached-again.bin"], read["base-full.bin"], read["base-passes.bin"], read["chapter-full.bin"], read["chapter-of-the-fold.bin"], read["views-full.bin"], read["acceptance-of-offsets.bin"], read["label-of-a-host.bin"], read["tags-signed.bin"]), "\n") + "\n"
	for _, want := range []string{
		"/seq = 1", fmt.Sprintf("/time = %d", testTime), "/facts/incarnations/1/topic = payments", "/facts/incarnations/1/number = 3",
		"/facts/streams/2/partition = 2147483647", "/facts/packs/0/size = 1234", "/facts/packs/0/frames/1/frame/decoded length = 61",
		"/facts/scans/1/started = -1", "/facts/rows/0/count = 100", "/facts/rows/0/base offset = -2", "/facts/rows/0/largest batch = 1000",
		"/facts/rows/0/leader epochs/1/first offset = 150", "/facts/rows/0/markers/1/producer ID = 4001", "/facts/rows/0/markers/0/commit = 1",
		"/facts/rows/0/transactions/1/first offset = 160", "/facts/rows/0/transactions/0/producer epoch = 2", "/facts/rows/1/length = 0",
		"/facts/gaps/1/cause = 2", "/snapshot/views/1/last epoch = -1", "/snapshot/sections/0/size = 321",
		"/snapshot/sections/1/missing = the coordinator did not answer", "/heads/0/floor = 95", "/heads/0/reach = 260", "/heads/0/leader epochs/2/after = 0", "/snapshot/size = 4061", "/heads/0/size = 4000",
		"/tables/1/topic = payments", "/sections/0/epoch = 2", "/chapters/0/last epoch = 4", "/chapters/0/views size = 9000", "/chapters/1/views size = 0",
		"/packs/1/size = 1099511627776", "/snapshots/1/snapshot/sections/1/name = groups", fmt.Sprintf("/snapshots/1/parent time = %d", testTime), "/snapshots/0/parent time = -1", "/snapshots/0/views/1/last epoch = -1", "/commits/1/seq = 4294967295", "/removed = 1", "/kind = altered", "/incarnation/topic = orders", "/partition = 7", "/count = 130", fmt.Sprintf("/reached/as of = %d", testTime), "/reached/name = backup@host-7", "/reached/topics/1/incarnation = 1", "/reached/back = 7", "/reached/left out/1/number = 200", "/passes/0/view = 0", fmt.Sprintf("/passes/0/as of = %d", testTime), "/passes/0/retention = 86400000", "/passes/0/next offset = 200", "/passes/0/last epoch = 3", "/signature key = 0102030405060708", "/signature = a keeper's signature", "/name = backup host 2", "/catalog only = 1", `/document = {"tags":[{"key":"release","value":"4.2"}],"pinned":true}`,
	} {
		if !strings.Contains(all, want+"\n") {
			t.Errorf("read by the page there is no %q in\n%s", want, all)
		}
	}
}

// TestPageIndexEnd finds an index from the end of its pack, as the page says.
func TestPageIndexEnd(t *testing.T) {
	pack := readVector(t, "pack-three-frames.bin")
	length := int(binary.LittleEndian.Uint32(pack[len(pack)-4:]))
	content := pack[len(pack)-length:]
	if got := HashOf(content[:length-36]); string(got[:]) != string(content[length-36:length-4]) {
		t.Error("the hash is not where the page says")
	}
	frame := pack[len(pack)-length-8:]
	if binary.LittleEndian.Uint32(frame) != 0x184D2A5E || int(binary.LittleEndian.Uint32(frame[4:])) != length {
		t.Errorf("no index frame 8 bytes before: % x", frame[:8])
	}
}
