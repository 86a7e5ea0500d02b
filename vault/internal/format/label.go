package format

const labelMagic = "CSLB"

// Label tells whose a key of an encrypted vault is.
type Label struct {
	AddedMs int64 // when
	// Name is for people, Recipient the public key that keys/ is sealed to; both are not empty.
	Name, Recipient string
	// CatalogOnly says that the key does not open packs.
	CatalogOnly bool
}

// Append writes the payload of a label. What would be refused by [DecodeLabel] is refused
// here.
func (l *Label) Append(dst []byte) ([]byte, error) {
	start := len(dst)
	dst = appendVarint(append(append(dst, labelMagic...), Version), l.AddedMs)
	dst = appendString(appendString(dst, l.Name), l.Recipient)
	dst = appendBool(dst, l.CatalogOnly)
	if _, err := DecodeLabel(dst[start:]); err != nil {
		return nil, err
	}
	return dst, nil
}

// DecodeLabel reads the payload of a label.
func DecodeLabel(payload []byte) (*Label, error) {
	r := &reader{b: payload}
	r.magic(labelMagic)
	l := &Label{AddedMs: r.varint(), Name: r.string(), Recipient: r.string(), CatalogOnly: r.bool()}
	if r.err == nil && (l.Name == "" || l.Recipient == "") {
		r.fail("label of nobody")
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return l, nil
}
