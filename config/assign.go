package config

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// errKind means that a value is of a kind that the key does not take.
var errKind = errors.New("wrong kind of value")

// assign puts a value where it belongs in c, or says what is wrong with it.
func (k Key) assign(c *Config, value any) error {
	err := k.convert(k.field(c), value)
	if err == nil && k.check != nil {
		err = k.check(value)
	}
	if m, ok := errors.AsType[*memberError](err); ok {
		return m
	}
	if err != nil {
		return k.explain(value, err)
	}
	return nil
}

func (k Key) explain(value any, err error) error {
	message := "want " + k.Allowed
	if !k.secret {
		message += "; got " + describe(value)
	}
	if s, ok := word(value); ok && k.oneOf != nil {
		if n := nearest(s, k.oneOf); n != "" {
			message += `; did you mean "` + n + `"?`
		}
	}
	if !errors.Is(err, errKind) {
		message += " (" + err.Error() + ")"
	}
	return errors.New(message)
}

func (k Key) convert(field, value any) (err error) {
	switch f := field.(type) {
	case *string:
		*f, err = k.toString(value)
	case *bool:
		*f, err = toBool(value)
	case *int64:
		*f, err = k.within(toInt(value))
	case *Port:
		var n int64
		n, err = toInt(value)
		if err == nil && (n < 0 || n > math.MaxUint16) {
			err = errKind
		}
		*f = Port(n & math.MaxUint16)
	case *Bytes:
		var n int64
		n, err = k.within(k.toBytes(value))
		*f = Bytes(n)
	case *time.Duration:
		var n int64
		n, err = k.within(toDuration(value))
		*f = time.Duration(n)
	case *[]string:
		*f, err = k.toList(value)
	case *Attr:
		var s string
		s, err = k.toAttr(value)
		*f = Attr(s)
	case *Secret:
		var s string
		s, err = k.toString(value)
		*f = Secret(s)
	case *Amount:
		*f, err = k.toAmount(value)
	case *Retention:
		*f, err = toRetention(value)
	case *[]RepoBudget:
		*f, err = toBudgets(value)
	default:
		err = fmt.Errorf("a key of type %T cannot be set", field)
	}
	return err
}

// word returns what is a word: a string of a file or a text.
func word(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case text:
		return string(v), true
	}
	return "", false
}

func (k Key) toString(value any) (string, error) {
	s, ok := word(value)
	if !ok {
		return "", errKind
	}
	return k.known(s)
}

// known returns s as the key's list of values spells it.
func (k Key) known(s string) (string, error) {
	if k.oneOf == nil {
		if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return "", errors.New("it holds a control character")
		}
		return s, nil
	}
	i := slices.IndexFunc(k.oneOf, func(one string) bool { return strings.EqualFold(one, s) })
	if i < 0 {
		return "", errKind
	}
	return k.oneOf[i], nil
}

// toList takes a list of strings, one string, or a text with commas.
func (k Key) toList(value any) ([]string, error) {
	var in list
	switch v := value.(type) {
	case list:
		in = v
	case string:
		in = list{v}
	case text:
		for part := range strings.SplitSeq(string(v), ",") {
			if part = strings.TrimSpace(part); part != "" {
				in = append(in, part)
			}
		}
	default:
		return nil, errKind
	}
	var out []string
	for _, member := range in {
		s, ok := member.(string)
		if !ok {
			return nil, errKind
		}
		s, err := k.known(s)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func toBool(value any) (bool, error) {
	switch v := value.(type) {
	case bool:
		return v, nil
	case text:
		switch strings.ToLower(string(v)) {
		case "true", "1":
			return true, nil
		case "false", "0":
			return false, nil
		}
	}
	return false, errKind
}

// toInt takes a number, also one that is written as a string.
func toInt(value any) (int64, error) {
	if n, ok := value.(int64); ok {
		return n, nil
	}
	s, ok := word(value)
	if !ok {
		return 0, errKind
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, errKind
	}
	return n, nil
}

// toBytes takes a number of bytes, or a string with a unit.
func (k Key) toBytes(value any) (int64, error) {
	if n, ok := value.(int64); ok {
		if n < 0 {
			return 0, errKind
		}
		return n, nil
	}
	s, ok := word(value)
	if !ok {
		return 0, errKind
	}
	if k.min == int64(Auto) && (s == "" || strings.EqualFold(s, "auto")) {
		return int64(Auto), nil
	}
	return parseBytes(s)
}

// toDuration takes what time.ParseDuration does; a bare number has no unit,
// and only 0 needs none.
func toDuration(value any) (int64, error) {
	if n, ok := value.(int64); ok && n == 0 {
		return 0, nil
	}
	s, ok := word(value)
	if !ok {
		return 0, errKind
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, errors.New(`a duration is a number with a unit, such as "90s", "15m" or "1h30m"`)
	}
	return int64(d), nil
}

// within checks a number against the key's limits.
func (k Key) within(n int64, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	if n < k.min || k.max > 0 && n > k.max {
		return 0, errKind
	}
	return n, nil
}
