package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/tus/tusd/cmd/tusd-bench/stats"
)

// Report is the result of a run of the command.
type Report struct {
	Startups []Startup `json:",omitempty"`
	Rows     []Row
	Ratios   []Ratio
	Slow     []SlowRow `json:",omitempty"`
}

// add adds the results of one workload. The others are compared with the last server
// but one.
func (r *Report) add(work string, servers []*server, results []series) {
	for i, s := range servers {
		r.Rows = append(r.Rows, summarise(work, s.name, results[i]))
	}
	if len(servers) < 2 {
		return
	}
	base := len(servers) - 2
	for i, s := range servers {
		if i != base {
			r.Ratios = append(r.Ratios, compare(work, [2]string{s.name, servers[base].name}, results[i], results[base]))
		}
	}
}

// write prints the report as tables or JSON.
func (r Report) write(w io.Writer, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	writeStartups(table, r.Startups)
	writeRows(table, r.Rows)
	writeRatios(table, r.Ratios)
	writeSlow(table, r.Slow)
	return table.Flush()
}

func writeStartups(w io.Writer, startups []Startup) {
	if len(startups) == 0 {
		return
	}
	fmt.Fprintln(w, "start-up with\tmedian\tworst")
	for _, s := range startups {
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.Server, brief(s.Median), brief(s.Worst))
	}
	fmt.Fprintln(w)
}

func writeSlow(w io.Writer, rows []SlowRow) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%d slow connections\n", rows[0].Connections)
	fmt.Fprintln(w, "server\tmemory before\tafter\tpeak\tper connection")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.1f KiB\n", r.Server, mib(r.Before), mib(r.After), mib(r.Peak), float64(r.PerConnection)/(1<<10))
	}
}

func writeRows(w io.Writer, rows []Row) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintln(w, "work\tserver\toperations/s\tMiB/s\tp50\tp99\tCPU/operation\tCPU/GiB\tmemory after\tpeak")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%.1f\t%s\t%s\t%s", r.Workload, r.Server, r.PerSecond, orNone("%.1f", r.MiBPerSec), brief(r.P50), brief(r.P99))
		if r.CPU == nil {
			fmt.Fprint(w, "\t-\t-\t-\t-\n")
			continue
		}
		fmt.Fprintf(w, "\t%s\t%s\t%s\t%s\n", brief(r.CPU.PerOperation), brief(r.CPU.PerGiB), mib(r.Memory.After), mib(r.Memory.Peak))
	}
}

func writeRatios(w io.Writer, ratios []Ratio) {
	if len(ratios) == 0 {
		return
	}
	fmt.Fprintf(w, "\nratios, medians of %d pairs, each with an interval of %.1f %% from order statistics\n", ratios[0].Pairs, 100*ratios[0].Rate.Coverage)
	fmt.Fprintln(w, "work\tservers\tCPU/operation\toperations/s\tp99")
	for _, r := range ratios {
		cpu := "-"
		if r.CPU != nil {
			cpu = interval(*r.CPU)
		}
		fmt.Fprintf(w, "%s\t%s/%s\t%s\t%s\t%s\n", r.Workload, r.Servers[0], r.Servers[1], cpu, interval(r.Rate), interval(r.P99))
	}
}

func interval(e stats.Estimate) string {
	return fmt.Sprintf("%.3f [%.3f, %.3f]", e.Median, e.Low, e.High)
}

func orNone(format string, n float64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf(format, n)
}

// brief formats a duration with about three digits. 0 means none.
func brief(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	step := time.Duration(1)
	for d/step >= 1000 {
		step *= 10
	}
	return d.Round(step).String()
}

func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }
