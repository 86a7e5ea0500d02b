package auth

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
)

var rewrite = flag.Bool("write", false, "ask Java and write testdata/properties.json again")

// javaProperties prints what java.util.Properties reads from each line of base64: names
// and values in UTF-16, or ERROR.
const javaProperties = `
import java.io.*;
import java.util.*;

public class Read {
	static String encode(String s) throws Exception { return Base64.getEncoder().encodeToString(s.getBytes("UTF-16BE")); }

	public static void main(String[] args) throws Exception {
		BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
		for (String line; (line = in.readLine()) != null; ) {
			Properties p = new Properties();
			StringBuilder out = new StringBuilder();
			try {
				p.load(new ByteArrayInputStream(Base64.getDecoder().decode(line)));
				for (String name : new TreeSet<>(p.stringPropertyNames()))
					out.append(encode(name)).append(' ').append(encode(p.getProperty(name))).append(';');
			} catch (IllegalArgumentException e) {
				out.append("ERROR");
			}
			System.out.println(out);
		}
	}
}
`

// propertiesCase is a text and what Java reads from it; nil if it refuses.
type propertiesCase struct {
	Text []byte            `json:"text"`
	Java map[string]string `json:"java"`
}

// readAsJava is what Java's class would give: of a name that comes twice the last.
func readAsJava(text []byte) map[string]string {
	properties, err := parseProperties(text)
	if err != nil {
		return nil
	}
	out := map[string]string{}
	for _, p := range properties {
		out[p.name] = p.value
	}
	return out
}

// TestPropertiesAsJava compares with what java.util.Properties has read, for texts that
// are written out and for many that chance made of what matters to it.
func TestPropertiesAsJava(t *testing.T) {
	file := filepath.Join("testdata", "properties.json")
	if *rewrite {
		writeCases(t, file, 1500)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var cases []propertiesCase
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 1000 {
		t.Fatalf("%d cases are too few", len(cases))
	}
	compareCases(t, cases)
}

func compareCases(t *testing.T, cases []propertiesCase) {
	t.Helper()
	for _, c := range cases {
		if diff := cmp.Diff(c.Java, readAsJava(c.Text)); diff != "" {
			t.Errorf("%q (-java +ours)\n%s", c.Text, diff)
		}
	}
}

func writeCases(t *testing.T, file string, n int) {
	t.Helper()
	b, err := json.Marshal(askJava(t, somePropertiesTexts(n, 1)))
	if err != nil {
		t.Fatal(err)
	}
	b = []byte(strings.ReplaceAll(string(b), "},{", "},\n{") + "\n")
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func somePropertiesTexts(n int, seed uint64) (texts [][]byte) {
	for _, text := range []string{
		"", "a=b", "a:b", "a b", "a\t=\tb", "a = b = c", "a\\=b=c", "a\\ b c", "=b", ":", " ", "a", "a=",
		"# a=b\n! c=d\na=b", "#a\\\nb=c", "a=b\\\n   c\\\r\n\td", "a=b\\\n#c", "a=b\\\n\nc=d", "\\\n\na=b", "\\\n#a=b",
		"a=\\u0041\\u00e9\\ud83d\\ude00", "a=\\u004", "a=\\uzzzz", "a=\\u+041", "a=b\\", "a=b\\\\", "a=b\\\\\nc=d", "a=b\\\\\\\nc",
		"a=1\na=2", "a=\xe9\xff", "\xef\xbb\xbfa=b", "a=${b}\nb=$", "a=\\t\\n\\r\\f\\q\\\"", "a\r\nb\rc\nd", "a=b  ", "a=\"b\"", "\fa=b",
		"sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\\n  username=\"a\" \\\n  password=\"b\\\\c\";\n",
	} {
		texts = append(texts, []byte(text))
	}
	random := rand.New(rand.NewPCG(seed, seed))
	tokens := []string{
		"a", "b", "=", " ", ":", "\\", "\n", "\r", "\r\n", "#", "!", "\t", "\f", "\\u0041", "\\u00e9", "\\u", "\\n", "x y", "\xe9", "${a}", "\"", "\\\n", "\\\r\n", "\\\\",
	}
	for len(texts) < n {
		var text string
		for range 1 + random.IntN(12) {
			text += tokens[random.IntN(len(tokens))]
		}
		texts = append(texts, []byte(text))
	}
	return texts
}

// askJava runs the class over all texts.
func askJava(t *testing.T, texts [][]byte) (cases []propertiesCase) {
	t.Helper()
	source := filepath.Join(t.TempDir(), "Read.java")
	if err := os.WriteFile(source, []byte(javaProperties), 0o600); err != nil {
		t.Fatal(err)
	}
	var in strings.Builder
	for _, text := range texts {
		in.WriteString(base64.StdEncoding.EncodeToString(text) + "\n")
	}
	cmd := exec.CommandContext(t.Context(), "java", source)
	cmd.Stdin = strings.NewReader(in.String())
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ask Java (its compiler is needed: openjdk-17-jdk-headless): %v", err)
	}
	lines := bufio.NewScanner(strings.NewReader(string(out)))
	for lines.Scan() {
		c := propertiesCase{Text: texts[len(cases)]}
		if lines.Text() != "ERROR" {
			c.Java = map[string]string{}
			for _, pair := range strings.Split(strings.TrimSuffix(lines.Text(), ";"), ";") {
				if name, value, ok := strings.Cut(pair, " "); ok {
					c.Java[fromUTF16(t, name)] = fromUTF16(t, value)
				}
			}
		}
		cases = append(cases, c)
	}
	if len(cases) != len(texts) {
		t.Fatalf("Java answered %d of %d", len(cases), len(texts))
	}
	return cases
}

func fromUTF16(t *testing.T, text string) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
	}
	return string(utf16.Decode(units))
}

// An error names the line and holds nothing of it.
func TestPropertiesErrors(t *testing.T) {
	_, err := parseProperties([]byte("a=b\n\nsasl.password=hush\\u12\n"))
	if err == nil || !strings.Contains(err.Error(), "line 3: ") || strings.Contains(err.Error(), "hush") {
		t.Errorf("%v", err)
	}
}

func FuzzParseProperties(f *testing.F) {
	for _, text := range somePropertiesTexts(100, 2) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		properties, err := parseProperties(text)
		if err != nil {
			return
		}
		// What is written out with all escapes reads the same.
		var b strings.Builder
		for _, p := range properties {
			b.WriteString(escapeAll(p.name) + "=" + escapeAll(p.value) + "\n")
		}
		again, err := parseProperties([]byte(b.String()))
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range properties {
			if i >= len(again) || again[i].name != p.name || again[i].value != p.value {
				t.Fatalf("%d: %v read again: %v", i, properties, again)
			}
		}
	})
}

func escapeAll(s string) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(s)) {
		const digits = "0123456789abcdef"
		b.WriteString(`\u`)
		for shift := 12; shift >= 0; shift -= 4 {
			b.WriteByte(digits[unit>>shift&15])
		}
	}
	return b.String()
}
