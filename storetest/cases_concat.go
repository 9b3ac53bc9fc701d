package storetest

import (
	"context"
	"io"

	"github.com/tus/tusd"
)

var concatCases = []testCase{
	{"concat/in-order", "Concater.Concat: in order", Concat, concatInOrder},
	{"concat/repeats", "Concater.Concat: more than once", Concat, concatRepeats},
	{"concat/empty-partials", "Concater.Concat: in order", Concat, concatEmptyPartials},
	{"concat/many", "Concater.Concat: in order", Concat, concatMany},
	{"concat/large", "Concater.Concat: in order", Concat, concatLarge},
	{"concat/durable", "Concater.Concat: durable", Concat, concatDurable},
	{"concat/cut", "Concater.Concat: Repeatable", Concat, concatCut},
	{"concat/again", "Concater.Concat: Repeatable", Concat, concatAgain},
	{"concat/partials-stay", "Concater.Concat: in order", Concat, concatPartialsStay},
}

// partials creates complete partial uploads, one for each distinct id. It returns one
// upload per id of ids, their content in that order and its length.
func (e *env) partials(ids []string, size func(id string) int64) (parts []tusd.Upload, content func() io.Reader, total int64) {
	e.Helper()
	made := make(map[string]tusd.Upload)
	for _, id := range ids {
		if made[id] == nil {
			info := newInfo(id, size(id))
			info.IsPartial = true
			made[id] = e.createInfo(info)
			e.write(made[id], id, 0, info.Size)
			e.must(made[id].FinishUpload(e.Context()))
		}
		parts = append(parts, made[id])
		total += size(id)
	}
	content = func() io.Reader {
		var readers []io.Reader
		for _, id := range ids {
			readers = append(readers, ContentReader(id, 0, size(id)))
		}
		return io.MultiReader(readers...)
	}
	return parts, content, total
}

// createFinal creates the record of a final upload.
func (e *env) createFinal(id string, size int64, partials []string) tusd.Upload {
	e.Helper()
	info := newInfo(id, size)
	info.IsFinal, info.PartialUploads = true, partials
	return e.createInfo(info)
}

func sizeOf(n int64) func(string) int64 { return func(string) int64 { return n } }

// concatAndCheck creates partials, concatenates them to a final, and checks its bytes.
func concatAndCheck(e *env, ids []string, size func(id string) int64) {
	e.Helper()
	parts, content, total := e.partials(ids, size)
	final := e.createFinal("final", total, ids)
	e.must(e.composer.Concater.Concat(e.Context(), final, parts))
	if offset := e.info(final).Offset; offset != total {
		e.Errorf("offset of the final upload is %d, want %d", offset, total)
	}
	e.must(final.FinishUpload(e.Context()))
	e.wantBytes("final", content(), total)
}

func concatInOrder(e *env) {
	concatAndCheck(e, []string{"c", "a", "b"}, func(id string) int64 { return int64(id[0]) })
}

func concatRepeats(e *env) { concatAndCheck(e, []string{"a", "b", "a", "a"}, sizeOf(100)) }

func concatEmptyPartials(e *env) {
	concatAndCheck(e, []string{"empty", "a", "empty", "b", "also-empty"}, func(id string) int64 {
		if len(id) > 1 {
			return 0
		}
		return 50
	})
}

func concatMany(e *env) {
	var ids []string
	for i := range 40 {
		ids = append(ids, "part-"+string(rune('A'+i%26))+string(rune('a'+i/26)))
	}
	concatAndCheck(e, ids, sizeOf(33))
}

func concatLarge(e *env) {
	concatAndCheck(e, []string{"a", "b"}, sizeOf(e.harness.LargestUpload/2+1))
}

func concatDurable(e *env) {
	ids := []string{"a", "b"}
	parts, content, total := e.partials(ids, sizeOf(100))
	e.must(e.composer.Concater.Concat(e.Context(), e.createFinal("final", total, ids), parts))
	e.reopen()
	e.wantBytes("final", content(), total)
	e.must(e.load("final").FinishUpload(e.Context()))
	e.wantBytes("final", content(), total)
}

func concatCut(e *env) {
	ids := []string{"a", "b", "a"}
	parts, content, total := e.partials(ids, sizeOf(300<<10))
	e.createFinal("final", total, ids)
	e.sweepCancel(func(ctx context.Context, _ int) error {
		return e.composer.Concater.Concat(ctx, e.load("final"), parts)
	})
	e.must(e.composer.Concater.Concat(e.Context(), e.load("final"), parts))
	e.wantBytes("final", content(), total)
}

func concatAgain(e *env) {
	ids := []string{"a", "b"}
	parts, content, total := e.partials(ids, sizeOf(1000))
	final := e.createFinal("final", total, ids)
	for range 3 {
		e.must(e.composer.Concater.Concat(e.Context(), final, parts))
		e.wantBytes("final", content(), total)
	}
	e.reopen()
	again := []tusd.Upload{e.load("a"), e.load("b")}
	e.must(e.composer.Concater.Concat(e.Context(), e.load("final"), again))
	e.wantBytes("final", content(), total)
}

func concatPartialsStay(e *env) {
	concatAndCheck(e, []string{"a", "b"}, sizeOf(100))
	e.wantStored("a", 100)
	e.wantStored("b", 100)
	if e.composer.Terminater == nil {
		return
	}
	e.terminate("a")
	e.reopen()
	e.wantBytes("final", io.MultiReader(ContentReader("a", 0, 100), ContentReader("b", 0, 100)), 200)
}
