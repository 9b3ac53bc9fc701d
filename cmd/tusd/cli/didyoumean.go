package cli

import (
	"flag"
	"slices"
	"strings"
)

// didYouMean returns the end of an error about an unknown name. form returns
// how the operator writes one of names.
func didYouMean(word string, names []string, form func(string) string) string {
	if name := closest(word, names); name != "" {
		return ": did you mean " + form(name) + "?"
	}
	return ""
}

// closest returns the one of names that word was probably meant to be; "": none
// is similar. Case, leading dashes, underscores and the prefix of variables do
// not count: MAX_SIZE, --max_size and TUSD_MAX_SIZE are all max-size.
func closest(word string, names []string) (found string) {
	word = plainName(word)
	least := 0
	for _, name := range slices.Sorted(slices.Values(names)) {
		d, few := distance(word, plainName(name)), max(len(word), len(name))/3
		if d <= min(max(few, 1), 3) && (found == "" || d < least) {
			found, least = name, d
		}
	}
	return found
}

func plainName(word string) string {
	word = strings.ToLower(strings.ReplaceAll(strings.TrimLeft(word, "-"), "_", "-"))
	return strings.TrimPrefix(word, "tusd-")
}

// distance returns how many letters must be inserted, deleted, replaced or
// swapped with the next one to turn a into b.
func distance(a, b string) int {
	const long = 100 // no name is so long
	if len(a) > long {
		return len(a)
	}
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			replaced := row[j]
			if a[i] != b[j] {
				replaced++
			}
			next[j+1] = min(row[j+1]+1, next[j]+1, replaced)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}

// settingNames returns the flags that can be set, without those of without.
// Flags that are not supported yet are among them, so that operators who come
// from tusd v2 get the right name.
func settingNames(without ...string) (names []string) {
	allFlags(new(config), new(error)).VisitAll(func(f *flag.Flag) {
		if _, old := removedFlags()[f.Name]; !old && !slices.Contains(without, f.Name) {
			names = append(names, f.Name)
		}
	})
	return names
}

func flagOf(name string) string    { return "-" + name }
func settingOf(name string) string { return name }
