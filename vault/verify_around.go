package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"coldstream"
	"coldstream/internal/keyring"
	"coldstream/vault/internal/format"
)

// errAround says what damage costs that is around a pack's frames: only those who read the
// pack without the catalog miss it.
var errAround = errors.New("no offsets are lost")

var errHeader = errors.New("its header is not that of this pack of this vault")

// foundAround notes that a pack's header or index is damaged.
func (ver *verifier) foundAround(id format.PackID, cause error) {
	ver.mu.Lock()
	defer ver.mu.Unlock()
	m := format.Mark{Pack: id, Start: format.WholePack}
	if ver.around[m] == nil {
		ver.around[m] = &DamageError{Object: id.Key(), Kind: KindAltered, Cause: fmt.Errorf("%w: %w", errAround, cause)}
	}
}

// checkAround reads the header and the index of a pack.
func (ver *verifier) checkAround(ctx context.Context, content *packContent) error {
	damage, err := ver.vault.readAround(ctx, content.id, content.size)
	if damage != nil {
		ver.foundAround(content.id, damage.Cause)
	}
	return err
}

// readAround looks at a pack's header and index alone. An error is that of the store.
func (v *Vault) readAround(ctx context.Context, id format.PackID, sizeBytes int64) (damage *DamageError, err error) {
	key, header := id.Key(), format.AppendPackHeader(nil, v.info.ID, id)
	read := func(at, length int64) ([]byte, error) {
		at = max(at, 0)
		return v.objects.PackRange(ctx, &format.Pack{ID: id, SizeBytes: sizeBytes}, at, min(length, sizeBytes-at))
	}
	altered := func(cause error) *DamageError { return &DamageError{Object: key, Kind: KindAltered, Cause: cause} }
	got, err := read(0, int64(len(header)))
	if err == nil && !bytes.Equal(got, header) {
		return altered(errHeader), nil
	}
	var tail []byte
	if err == nil {
		tail, err = read(sizeBytes-format.PackIndexEnd, format.PackIndexEnd)
	}
	if err == nil {
		length := format.PackIndexSize(tail)
		tail, err = read(sizeBytes-length, length)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, nil //nolint:nilnil // whoever lists packs says so
	case errors.Is(err, coldstream.ErrCorrupt): // it is sealed, and these bytes do not open
		return altered(err), nil
	case errors.Is(err, keyring.ErrCatalogOnly):
		return nil, nil //nolint:nilnil // it is for who may read packs to find
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	if _, err := format.DecodePackIndex(tail); err != nil {
		return altered(err), nil
	}
	return nil, nil //nolint:nilnil // there is none
}
