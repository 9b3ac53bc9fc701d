package cli

import (
	"context"
	"errors"
	"flag"

	"github.com/tus/tusd"
)

const verifyIntro = `It compares the records of uploads with what is stored, and the digests of complete
uploads with their bytes. Without arguments it verifies all uploads. It changes
nothing, and may run beside the server. It ends with 1 if something does not agree.
`

// verification is tusd verify.
type verification struct {
	json    bool
	uploads int
	faulty  int
}

func verifyCommand() storeCommand {
	v := new(verification)
	return storeCommand{name: "verify", summary: "compare records, data and digests", usage: " [ID|URL...]", intro: verifyIntro, most: -1, declare: v.declare, run: v.run}
}

func (v *verification) declare(_ *config, f *flag.FlagSet) {
	f.BoolVar(&v.json, "json", false, "an object of JSON per line for each upload")
}

// verifiedUpload is the JSON form of tusd verify.
type verifiedUpload struct {
	ID     string   `json:"id"`
	OK     bool     `json:"ok"`
	Faults []string `json:"faults"`
}

func (v *verification) run(ctx context.Context, a *storeAccess) error {
	ids, err := a.ids()
	if err != nil {
		return err
	}
	if err := a.openForReading(); err != nil {
		return err
	}
	if len(ids) > 0 {
		err = v.verify(ctx, a, ids, true)
	} else {
		err = v.verifyAll(ctx, a)
	}
	if err != nil {
		return err
	}
	if !v.json {
		if err := a.printf("%s verified, %d with faults\n", counted(v.uploads, "upload"), v.faulty); err != nil {
			return err
		}
	}
	if v.faulty > 0 {
		return errReported
	}
	return nil
}

func (v *verification) verifyAll(ctx context.Context, a *storeAccess) error {
	for cursor := ""; ; {
		page, next, err := a.composer.Lister.List(ctx, cursor, tusd.ListFilter{}, uploadsPerPage)
		if err != nil {
			return err
		}
		ids := make([]string, len(page))
		for i := range page {
			ids[i] = page[i].ID
		}
		if err := v.verify(ctx, a, ids, false); err != nil || next == "" {
			return err
		}
		cursor = next
	}
}

// verifiesAtOnce is how many uploads are verified at the same time. Each may read all of
// its bytes.
const verifiesAtOnce = 4

// verify verifies uploads. One that does not exist is a fault if it was named.
func (v *verification) verify(ctx context.Context, a *storeAccess, ids []string, named bool) error {
	for len(ids) > 0 {
		some := ids[:min(len(ids), 16*verifiesAtOnce)]
		faults, errs := make([][]string, len(some)), make([]error, len(some))
		if err := eachAtOnce(ctx, len(some), verifiesAtOnce, func(i int) { faults[i], errs[i] = a.handler.Verify(ctx, some[i]) }); err != nil {
			return err
		}
		for i, id := range some {
			if errors.Is(errs[i], tusd.ErrNotFound) && !named {
				continue // it was removed meanwhile
			}
			if err := v.report(a, id, faults[i], errs[i]); err != nil {
				return err
			}
		}
		ids = ids[len(some):]
		a.progress.show("%s verified, %d with faults", counted(v.uploads, "upload"), v.faulty)
	}
	return nil
}

func (v *verification) report(a *storeAccess, id string, faults []string, err error) error {
	v.uploads++
	switch {
	case errors.Is(err, tusd.ErrNotFound):
		faults = append(faults, "there is no such upload")
	case err != nil:
		faults = append(faults, "it could not be verified: "+err.Error())
	}
	for i, fault := range faults {
		if problem, ok := brokenProblem(fault); ok {
			faults[i] = problem + removalHint(id)
		}
	}
	if len(faults) > 0 {
		v.faulty++
	}
	if v.json {
		return a.writeJSON(verifiedUpload{id, len(faults) == 0, faults})
	}
	for _, fault := range faults {
		if err := a.printf("%s: %s\n", printable(id), printable(fault)); err != nil {
			return err
		}
	}
	return nil
}
