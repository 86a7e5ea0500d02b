package faultblob

import (
	"context"
	"errors"
	"fmt"
	"math"

	"coldstream/blob"
)

// What follows harms objects as disks, people and thieves do. No store overwrites, so an
// object is deleted and created anew: nobody else may use the store meanwhile. Each fails
// if it would change nothing.

// FlipBit turns over one bit of an object, bit 0 being the lowest of its first byte.
func FlipBit(ctx context.Context, s blob.Store, key string, bit int64) error {
	return alter(ctx, s, key, func(body []byte) ([]byte, error) {
		if bit < 0 || bit/8 >= int64(len(body)) {
			return nil, fmt.Errorf("bit %d of an object of %d bytes", bit, len(body))
		}
		body[bit/8] ^= 1 << (bit % 8)
		return body, nil
	})
}

// Truncate cuts an object off after its first bytes.
func Truncate(ctx context.Context, s blob.Store, key string, sizeBytes int64) error {
	return alter(ctx, s, key, func(body []byte) ([]byte, error) {
		if sizeBytes < 0 || sizeBytes >= int64(len(body)) {
			return nil, fmt.Errorf("%d bytes of an object of %d", sizeBytes, len(body))
		}
		return body[:sizeBytes], nil
	})
}

// Forget loses an object.
func Forget(ctx context.Context, s blob.Store, key string) error {
	_, err := bodyOf(ctx, s, key)
	if err != nil {
		return fmt.Errorf("forget %s: %w", key, err)
	}
	return s.Delete(ctx, key)
}

// Swap exchanges the bodies of two objects.
func Swap(ctx context.Context, s blob.Store, a, b string) error {
	bodyA, err := bodyOf(ctx, s, a)
	if err != nil {
		return fmt.Errorf("swap %s and %s: %w", a, b, err)
	}
	bodyB, err := bodyOf(ctx, s, b)
	if err != nil {
		return fmt.Errorf("swap %s and %s: %w", a, b, err)
	}
	if err := Replace(ctx, s, a, bodyB); err != nil {
		return err
	}
	return Replace(ctx, s, b, bodyA)
}

// Replace puts another body in the place of an object: that of an older one, so that
// what was true once is told again.
func Replace(ctx context.Context, s blob.Store, key string, body []byte) error {
	return alter(ctx, s, key, func([]byte) ([]byte, error) { return body, nil })
}

func alter(ctx context.Context, s blob.Store, key string, change func([]byte) ([]byte, error)) error {
	before, err := bodyOf(ctx, s, key)
	if err != nil {
		return fmt.Errorf("damage %s: %w", key, err)
	}
	after, err := change(append([]byte{}, before...))
	if err == nil && string(after) == string(before) {
		err = errors.New("it is the same as before")
	}
	if err != nil {
		return fmt.Errorf("damage %s: %w", key, err)
	}
	if err := s.Delete(ctx, key); err != nil {
		return err
	}
	return s.Create(ctx, key, after)
}

func bodyOf(ctx context.Context, s blob.Store, key string) ([]byte, error) {
	return blob.ReadAll(ctx, s, key, math.MaxInt64)
}
