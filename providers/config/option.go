package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// option is one field of a backend's struct, as its tags describe it:
//
//	name      the option's name: the specification's where it has one
//	also      other spellings, each with ":unit" if it counts in another one
//	unit      what a number alone counts, of a size: "MiB", else bytes
//	default   the default, as the environment would give it
//	required  the option must not be empty
//	min, max  the range, both included; min is 0 if it is not given
//	oneof     the words that the option takes
//	same      other spellings of those words: "AES256=s3"
//	whentrue  the word that true stands for; false is none
type option struct {
	index     int
	spellings []optionSpelling // the name first
	byDefault string
	required  bool
	least     string
	most      string
	words     []string
	same      map[string]string
	whenTrue  string
}

type optionSpelling struct{ name, unit string }

func (o option) name() string { return o.spellings[0].name }

// unitRate marks the spelling of a filter's size as its rate of false positives.
const unitRate = "rate"

var optionsByType sync.Map // reflect.Type → []option

// optionsOf returns the options of a struct type, in the order of its fields.
func optionsOf(t reflect.Type) []option {
	if known, ok := optionsByType.Load(t); ok {
		return known.([]option)
	}
	var options []option
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		o := option{
			index:     i,
			spellings: []optionSpelling{{tag.Get("name"), tag.Get("unit")}},
			byDefault: tag.Get("default"),
			required:  tag.Get("required") == "true",
			least:     tag.Get("min"),
			most:      tag.Get("max"),
			same:      map[string]string{},
			whenTrue:  tag.Get("whentrue"),
		}
		for _, also := range strings.Fields(tag.Get("also")) {
			name, unit, _ := strings.Cut(also, ":")
			o.spellings = append(o.spellings, optionSpelling{name, unit})
		}
		if words := tag.Get("oneof"); words != "" {
			o.words = strings.Split(words, ",")
		}
		for _, pair := range strings.Fields(tag.Get("same")) {
			i := strings.LastIndexByte(pair, '=')
			o.same[strings.ToLower(pair[:i])] = pair[i+1:]
		}
		options = append(options, o)
	}
	known, _ := optionsByType.LoadOrStore(t, options)
	return known.([]option)
}

// setDefaults fills in the defaults of the struct that target points to.
func setDefaults(target any) {
	v := reflect.ValueOf(target).Elem()
	for _, o := range optionsOf(v.Type()) {
		if o.byDefault == "" {
			continue
		}
		if problem, _ := o.set(v.Field(o.index), o.byDefault, true, ""); problem != "" {
			// A tag of this package is wrong; its tests make every default.
			panic(fmt.Sprintf("config: default of %s.%s: %s", v.Type(), o.name(), problem))
		}
	}
}

// set puts a value that was read into the option's field, and says what is wrong
// with it; the text of a secret is in no answer. fromText is true for a value of
// the environment, where every value is text.
func (o option) set(field reflect.Value, value any, fromText bool, unit string) (problem, suggestion string) {
	text, isText := value.(string)
	number, isNumber := value.(int64)
	switch to := field.Addr().Interface().(type) {
	case *Secret:
		if !isText {
			return mustBe("a string in quotes", value), ""
		}
		if text == Hidden {
			return "is " + Hidden + ", which stands for a secret in printed output; put the secret itself", ""
		}
		*to = NewSecret(text)
		return "", ""
	case *Bytes:
		scale, _, _ := parseBytes("1"+unit, 1)
		switch {
		case isText:
			*to, problem, suggestion = parseBytes(text, scale)
		case isNumber && (number > math.MaxInt64/int64(scale) || number < math.MinInt64/int64(scale)):
			problem = "is more bytes than there are"
		case isNumber:
			*to = Bytes(number) * scale
		default:
			problem = mustBe("a whole number or a size such as \"64MiB\"", value)
		}
		return problem, suggestion
	case *time.Duration:
		switch {
		case isText:
			*to, problem = parseDuration(text)
		case isNumber:
			*to, problem = seconds(number)
		default:
			problem = mustBe("a number of seconds or a duration such as \"30s\"", value)
		}
		return problem, ""
	case *[]string:
		list, isList := value.([]string)
		switch {
		case isText && fromText && text == "":
			list = nil
		case isText && fromText:
			list = strings.Split(text, ",")
		case !isList:
			return mustBe("a list of strings", value), ""
		}
		*to = append([]string(nil), list...) // nil for an empty list, as for none
		return "", ""
	}
	switch field.Kind() {
	case reflect.String:
		return o.setString(field, value, fromText)
	case reflect.Bool:
		b, isBool := value.(bool)
		if fromText && (text == "true" || text == "false") {
			b, isBool = text == "true", true
		}
		if !isBool {
			return mustBe("true or false", given(value, fromText)), ""
		}
		field.SetBool(b)
		return "", ""
	default: // int and int64
		if unit == unitRate {
			return setRate(field, value, fromText)
		}
		if fromText {
			n, err := strconv.ParseInt(text, 10, 64)
			number, isNumber = n, err == nil
		}
		if !isNumber || field.OverflowInt(number) {
			return mustBe("a whole number", given(value, fromText)), ""
		}
		field.SetInt(number)
		return "", ""
	}
}

// setString sets a string, or one of the option's words in any case.
func (o option) setString(field reflect.Value, value any, fromText bool) (problem, suggestion string) {
	if b, ok := value.(bool); ok && o.whenTrue != "" {
		value = strconv.FormatBool(b)
	}
	text, ok := value.(string)
	switch {
	case !ok:
		return mustBe("a string in quotes", value), ""
	case len(o.words) == 0:
		field.SetString(text)
		return "", ""
	case o.whenTrue != "" && text == "true":
		field.SetString(o.whenTrue)
		return "", ""
	case o.whenTrue != "" && text == "false":
		field.SetString(string(NoCompression))
		return "", ""
	}
	word := strings.ToLower(text)
	if same, ok := o.same[word]; ok {
		word = same
	}
	if !slices.Contains(o.words, word) {
		return o.notAWord(text), nearest(text, o.words)
	}
	field.SetString(word)
	return "", ""
}

func (o option) notAWord(text string) string {
	return "must be one of " + strings.Join(o.words, ", ") + ", not " + quote(text)
}

// setRate sets the bits per key of a Bloom filter from the rate p of false
// positives that it shall have: -ln p / (ln 2)² bits (B. H. Bloom, Space/time
// trade-offs in hash coding with allowable errors, 1970), rounded up.
func setRate(field reflect.Value, value any, fromText bool) (problem, suggestion string) {
	rate, ok := value.(float64)
	if text, isText := value.(string); isText && fromText {
		p, err := strconv.ParseFloat(text, 64)
		rate, ok = p, err == nil
	}
	if !ok || !(rate > 0 && rate < 1) {
		return "must be a rate above 0 and below 1, such as 0.01", ""
	}
	field.SetInt(int64(math.Ceil(-math.Log(rate) / (math.Ln2 * math.Ln2))))
	return "", ""
}

// given marks a text of the environment, to be shown as it is.
func given(value any, fromText bool) any {
	if text, ok := value.(string); ok && fromText {
		return shown(text)
	}
	return value
}

type shown string

// mustBe says that something else was read than what must be.
func mustBe(what string, value any) string {
	is := "a date or time"
	switch x := value.(type) {
	case shown:
		is = quote(string(x))
	case string:
		is = "a string"
	case bool:
		is = "true or false"
	case int64:
		is = "a whole number"
	case float64:
		is = "a number with a fraction"
	case []string, list:
		is = "a list"
	case table:
		is = "a table"
	case null:
		is = "null"
	}
	return "must be " + what + ", not " + is
}
