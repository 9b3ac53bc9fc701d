package storetest

import (
	"context"
	"fmt"

	"github.com/tus/tusd"
)

var lengthCases = []testCase{
	{"length/declare", "LengthDeferrer.DeclareLength: fixes the length", DeferLength, lengthDeclare},
	{"length/at-offset", "LengthDeferrer.DeclareLength: below the offset", DeferLength, lengthAtOffset},
	{"length/rolled-back", "LengthDeferrer.DeclareLength: length of -1", DeferLength, lengthRolledBack},
	{"length/cancelled", "LengthDeferrer.DeclareLength: As atomic", DeferLength, lengthCancelled},
}

func lengthDeclare(e *env) {
	upload := e.createDeferred("a")
	e.write(upload, "a", 0, 40)
	e.must(e.composer.LengthDeferrer.DeclareLength(e.Context(), upload, 100))
	for _, info := range []tusd.FileInfo{e.info(upload), e.info(e.view("a"))} {
		if info.Size != 100 || info.SizeIsDeferred || info.Offset != 40 {
			e.Errorf("size %d, deferred %t, offset %d", info.Size, info.SizeIsDeferred, info.Offset)
		}
	}
	e.reopen()
	if info := e.info(e.view("a")); info.Size != 100 || info.SizeIsDeferred {
		e.Errorf("after a restart: size %d, deferred %t", info.Size, info.SizeIsDeferred)
	}
	e.write(e.load("a"), "a", 40, 100)
	e.must(e.load("a").FinishUpload(e.Context()))
	e.wantStored("a", 100)
}

func lengthAtOffset(e *env) {
	upload := e.createDeferred("a")
	e.write(upload, "a", 0, 40)
	e.wantComplete(e.info(upload), false)
	e.must(e.composer.LengthDeferrer.DeclareLength(e.Context(), upload, 40))
	e.must(upload.FinishUpload(e.Context()))
	e.wantComplete(e.info(e.view("a")), true)
	e.wantStored("a", 40)

	empty := e.createDeferred("empty")
	e.must(e.composer.LengthDeferrer.DeclareLength(e.Context(), empty, 0))
	e.must(empty.FinishUpload(e.Context()))
	e.wantStored("empty", 0)
	e.wantComplete(e.info(e.view("empty")), true)
}

func lengthRolledBack(e *env) {
	for _, offset := range []int64{0, 40} {
		id := fmt.Sprint("at", offset)
		upload := e.createDeferred(id)
		if offset > 0 {
			e.write(upload, id, 0, offset)
		}
		for _, length := range []int64{100, offset} {
			e.must(e.composer.LengthDeferrer.DeclareLength(e.Context(), upload, length))
			e.must(e.composer.LengthDeferrer.DeclareLength(e.Context(), upload, -1))
			for _, info := range []tusd.FileInfo{e.info(upload), e.info(e.view(id))} {
				if info.Size != 0 || !info.SizeIsDeferred || info.Offset != offset {
					e.Errorf("rolled back: size %d, deferred %t, offset %d", info.Size, info.SizeIsDeferred, info.Offset)
				}
				e.wantComplete(info, false)
			}
			upload = e.load(id)
		}
		e.must(e.composer.LengthDeferrer.DeclareLength(e.Context(), upload, 60))
		e.write(upload, id, offset, 60)
		e.must(upload.FinishUpload(e.Context()))
		e.wantStored(id, 60)
	}
}

func lengthCancelled(e *env) {
	e.write(e.createDeferred("a"), "a", 0, 40)
	e.sweepCancel(func(ctx context.Context, _ int) error {
		upload := e.load("a")
		if !e.info(upload).SizeIsDeferred {
			return nil // the length was declared, although the call gave an error
		}
		err := e.composer.LengthDeferrer.DeclareLength(ctx, upload, 100)
		info := e.info(e.view("a"))
		if info.SizeIsDeferred != (info.Size == 0) || (err == nil && info.Size != 100) {
			e.Errorf("error %v: size %d, deferred %t", err, info.Size, info.SizeIsDeferred)
		}
		e.wantStored("a", 40)
		return err
	})
}
