package s3store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/tus/tusd"
)

// maxKey is the length of the longest key of S3, in bytes.
const maxKey = 1024

// CheckKey tells what is wrong with a value for Key of a Store.
func CheckKey(template string) error {
	if template == "" {
		return nil
	}
	if !strings.Contains(template, "{id}") {
		return errors.New("the key template lacks {id}, without which two uploads could have one key")
	}
	example := expandKey(template, tusd.FileInfo{ID: "id"})
	if strings.ContainsAny(example, "{}") {
		return errors.New("the key template has more than {id}, {date} and {filename} in braces")
	}
	if err := checkDataKey(example); err != nil {
		return fmt.Errorf("the key template: %w", err)
	}
	return nil
}

// newDataKey is where the bytes of a new upload are going to lie.
func (b *bucket) newDataKey(info tusd.FileInfo) (string, error) {
	key := info.Storage["Key"]
	if key == "" {
		key = info.ID
		if b.key != "" {
			key = expandKey(b.key, info)
		}
	}
	if key == info.ID {
		return b.prefix + key, nil
	}
	if err := checkDataKey(key); err != nil {
		return "", tusd.ErrInvalidName.With(fmt.Errorf("the key %q: %w", key, err))
	}
	if len(b.prefix)+len(key) > maxKey {
		return "", tusd.ErrInvalidName.With(fmt.Errorf("a key of %d bytes is too long", len(b.prefix)+len(key)))
	}
	return b.prefix + key, nil
}

// checkDataKey refuses keys that the store uses for something else, or that
// services do not treat alike.
func checkDataKey(key string) error {
	for segment := range strings.SplitSeq(key, "/") {
		switch {
		case segment == "" || segment == "." || segment == "..":
			return errors.New("a segment is empty or a dot path")
		case strings.HasPrefix(segment, ".tusd"):
			return errors.New("a segment begins with .tusd")
		}
	}
	if strings.HasSuffix(key, recordSuffix) || strings.HasSuffix(key, pieceSuffix) {
		return errors.New("it ends as the store's own keys do")
	}
	return nil
}

// checkKeyFree refuses a key that a hook has chosen if there is an object, or
// an upload that is going to have its object there.
func (b *bucket) checkKeyFree(ctx context.Context, key string) error {
	if err := b.checkAbsent(ctx, key); err != nil {
		return err
	}
	return b.checkAbsent(ctx, key+recordSuffix)
}

func expandKey(template string, info tusd.FileInfo) string {
	created := info.Created
	if created.IsZero() {
		created = time.Now()
	}
	return strings.NewReplacer(
		"{id}", info.ID,
		"{date}", created.UTC().Format(time.DateOnly),
		"{filename}", safeName(info.MetaData["filename"]),
	).Replace(template)
}

// maxSafeName bounds what a file name adds to a key, in bytes.
const maxSafeName = 100

// safeName makes one harmless segment of a file name.
func safeName(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-_.()", r) {
			return r
		}
		return '_'
	}, strings.ToValidUTF8(name, "_"))
	name = strings.TrimLeft(name, ".")
	for len(name) > maxSafeName {
		runes := []rune(name)
		name = string(runes[1:]) // the end tells the type
	}
	for _, suffix := range []string{recordSuffix, pieceSuffix} {
		if strings.HasSuffix(name, suffix) {
			name += "_"
		}
	}
	if name == "" {
		return "unnamed"
	}
	return name
}
