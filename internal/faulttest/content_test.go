//go:build linux

package faulttest

import (
	"bytes"
	"io"
	"testing"
)

func TestContentIsAFunctionOfSeedAndOffset(t *testing.T) {
	content := Content{{Seed: 1, Length: 13}, {Seed: 2, Length: 0}, {Seed: 3, Length: 100_000}}
	all, err := io.ReadAll(content.Reader(0))
	if err != nil || int64(len(all)) != content.Length() {
		t.Fatalf("%d bytes, %v; want %d", len(all), err, content.Length())
	}
	for _, offset := range []int64{0, 1, 7, 8, 12, 13, 14, 99_999, content.Length()} {
		rest, err := io.ReadAll(content.Reader(offset))
		if err != nil || !bytes.Equal(rest, all[offset:]) {
			t.Errorf("from %d: not the same bytes, or %v", offset, err)
		}
	}
	if bytes.Equal(all[:13], Content{{Seed: 2, Length: 13}}.Bytes(0, 13)) {
		t.Error("two seeds make the same bytes")
	}
}

func TestCompareFindsDifferences(t *testing.T) {
	content := Content{{Seed: 7, Length: 100_000}, {Seed: 8, Length: 50_000}}
	right := content.Bytes(0, content.Length())
	changed := func(i int) []byte {
		wrong := bytes.Clone(right)
		wrong[i] ^= 1
		return wrong
	}
	if err := content.Compare(bytes.NewReader(right)); err != nil {
		t.Errorf("the right bytes: %v", err)
	}
	for name, wrong := range map[string][]byte{
		"first byte":        changed(0),
		"a byte inside":     changed(99_999),
		"last byte":         changed(len(right) - 1),
		"one byte missing":  right[:len(right)-1],
		"one byte too many": append(bytes.Clone(right), 0),
		"nothing":           nil,
	} {
		if content.Compare(bytes.NewReader(wrong)) == nil {
			t.Errorf("%s: not seen", name)
		}
	}
}
