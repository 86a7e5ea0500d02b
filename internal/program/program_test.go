package program

import "testing"

func TestSoftwareVersion(t *testing.T) {
	defer func(before string) { version = before }(version)
	for version0, want := range map[string]string{"1.2.3": "1.2.3", "1.2.3-rc.1+g12ab": "1.2.3-rc.1-g12ab", "1.2.3~é.": "1.2.3", "~": "unknown"} {
		version = version0
		if got := SoftwareVersion(); got != want {
			t.Errorf("%s: got %s, want %s", version0, got, want)
		}
	}
}
