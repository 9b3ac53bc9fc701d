package cli

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// listVar adds a flag for a list, separated by commas. Space around them does
// not count. The list is nil if the flag is not set. An empty list is refused:
// it often means "everything", and a shell makes one of a variable that is not
// set.
func listVar[T any](flags *flag.FlagSet, p *[]T, name, usage string, parse func(string) (T, error)) {
	flags.Var(&parsedValue{set: func(text string) error {
		if strings.TrimSpace(text) == "" {
			return errors.New("must not be empty: leave the flag out if there is no list")
		}
		list := []T{}
		for i, element := range strings.Split(text, ",") {
			parsed, err := parse(strings.TrimSpace(element))
			if err != nil {
				return fmt.Errorf("number %d of the list %w", i+1, err)
			}
			list = append(list, parsed)
		}
		*p = list
		return nil
	}}, name, usage)
}

// networksVar adds a flag for networks and addresses. The word none sets an
// empty list that is not nil.
func networksVar(flags *flag.FlagSet, p *[]netip.Prefix, name, usage string) {
	listVar(flags, p, name, usage, parseNetwork)
	f := flags.Lookup(name).Value.(*parsedValue)
	set := f.set
	f.set = func(text string) error {
		if strings.TrimSpace(text) == "none" {
			*p = []netip.Prefix{}
			return nil
		}
		return set(text)
	}
}

func parseNetwork(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, errors.New("is neither an address nor a network like 10.0.0.0/8")
	}
	if addr := network.Addr(); addr.Is4In6() && network.Bits() >= 96 {
		network = netip.PrefixFrom(addr.Unmap(), network.Bits()-96) // as addresses of clients are compared
	}
	if network.Masked() != network {
		return netip.Prefix{}, fmt.Errorf("has bits behind its length: %v is meant, or the address alone", network.Masked())
	}
	return network, nil
}

func originsVar(flags *flag.FlagSet, p *[]string, name, usage string) {
	listVar(flags, p, name, usage, parseOrigin)
}

// parseOrigin accepts only origins that a browser sends: others would never
// match, and the operator would not find out why.
func parseOrigin(text string) (string, error) {
	if text == "null" { // of files and sandboxed frames
		return text, nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme == "" || u.Host == "":
		return "", errors.New("is no origin like https://example.org")
	case strings.ToLower(text) != text:
		return "", errors.New("must be in lower case, as browsers send it")
	case u.Scheme+"://"+u.Host != text:
		return "", errors.New("has more than the scheme, host and port of an origin")
	case strings.Contains(text, "*"):
		return "", errors.New("has a wildcard: use -cors-allow-origin for patterns")
	case u.Scheme == "https" && u.Port() == "443", u.Scheme == "http" && u.Port() == "80":
		return "", errors.New("must go without its default port, as browsers send it")
	}
	return text, nil
}
