package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/orbit-persistence/orbit/bench"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
)

// getCommand prints the value of a key.
type getCommand struct {
	storeFlags
	encodingFlag
	Key string `arg:"" help:"The key."`
}

// Help is what --help says below the summary.
func (getCommand) Help() string {
	return `Prints the value as it is, so that it can go into a file, with a line break after it on
a terminal only; with another encoding than text it is a line. --json tells the revision,
which put and delete take as a condition, and when the entry expires, too.

  orbit-cli get --backend lsm --dir /var/lib/orbit/lsm_tree user/42
  orbit-cli get --config orbit.toml --provider records user/42 > user.bin
  orbit-cli get --config orbit.toml --encoding hex 757365722f3432
` + storeHelp
}

// Run gets the value.
func (c *getCommand) Run(ctx context.Context) error {
	key, err := c.decode("key", c.Key)
	if err != nil {
		return err
	}
	return c.with(ctx, providers.General, false, func(s *session, p *providers.Provider) error {
		e, err := p.Get(s.ctx, key)
		switch {
		case errors.Is(err, providers.ErrNotFound):
			return fmt.Errorf("%w: there is no key %s", err, c.encode(key))
		case err != nil:
			return err
		case s.json:
			return s.printJSON(entryJSON(e, false))
		case c.Encoding != "text":
			s.printf("%s\n", c.encode(e.Value))
		case s.terminal:
			s.printf("%s\n", e.Value)
		default:
			_, err := s.out.Write(e.Value)
			return err
		}
		return nil
	})
}

// entryJSON is an entry as JSON has it.
func entryJSON(e providers.Entry, keysOnly bool) map[string]any {
	object := map[string]any{}
	inJSON(object, "key", e.Key)
	if keysOnly {
		return object
	}
	inJSON(object, "value", e.Value)
	object["revision"] = e.Revision.String()
	if !e.ExpiresAt.IsZero() {
		object["expires_at"] = e.ExpiresAt.UTC()
	}
	return object
}

// putCommand puts an entry.
type putCommand struct {
	storeFlags
	encodingFlag
	Create     bool          `help:"Make the store if it is not there."`
	File       string        `placeholder:"FILE" help:"Take the value from a file, as it is; - is standard input."`
	IfAbsent   bool          `help:"Only if the key is not there."`
	IfRevision string        `placeholder:"REVISION" help:"Only if the key is there at this revision, as get --json tells it."`
	TTL        time.Duration `name:"ttl" help:"For how long, such as 90s; 0 is for ever."`
	Fence      uint64        `placeholder:"TOKEN" help:"The fencing token of the lease that protects the key; an older one than was seen is refused."`
	Key        string        `arg:"" help:"The key."`
	Value      *string       `arg:"" optional:"" help:"The value; without it, --file."`
}

// Help is what --help says below the summary.
func (putCommand) Help() string {
	return `Prints the entry's new revision.

  orbit-cli put --backend lsm --dir ./data --create user/42 '{"name":"ada"}'
  orbit-cli put --config orbit.toml --file photo.jpg --ttl 24h photo/42
  orbit-cli put --config orbit.toml --if-revision 17 user/42 '{"name":"grace"}'
  orbit-cli put --config orbit.toml --encoding quoted 'bin\x00key' '\xff\xfe'
` + storeHelp
}

// Run puts the entry.
func (c *putCommand) Run(ctx context.Context) error {
	if (c.Value == nil) == (c.File == "") {
		return bench.Usagef("put needs a value, or --file, and not both")
	}
	key, err := c.decode("key", c.Key)
	if err != nil {
		return err
	}
	var value []byte
	if c.Value != nil {
		if value, err = c.decode("value", *c.Value); err != nil {
			return err
		}
	}
	o := providers.PutOptions{IfAbsent: c.IfAbsent, TTL: c.TTL, Fence: c.Fence}
	if o.IfRevision, err = parseRevision(c.IfRevision); err != nil {
		return err
	}
	return c.with(ctx, providers.General, c.Create, func(s *session, p *providers.Provider) error {
		if c.File != "" {
			if value, err = readValue(c.File); err != nil {
				return err
			}
		}
		r, err := p.Put(s.ctx, key, value, o)
		switch {
		case errors.Is(err, providers.ErrConflict) && c.IfAbsent:
			return fmt.Errorf("%w: the key %s is there", err, c.encode(key))
		case errors.Is(err, providers.ErrConflict):
			return fmt.Errorf("%w: the key %s is not at revision %s", err, c.encode(key), c.IfRevision)
		case err != nil:
			return err
		case s.json:
			return s.printJSON(map[string]any{"revision": r.String()})
		}
		s.printf("revision %s\n", r)
		return nil
	})
}

// deleteCommand deletes a key.
type deleteCommand struct {
	storeFlags
	encodingFlag
	IfRevision string `placeholder:"REVISION" help:"Only if the key is there at this revision, as get --json tells it."`
	Fence      uint64 `placeholder:"TOKEN" help:"The fencing token of the lease that protects the key."`
	Key        string `arg:"" help:"The key."`
}

// Help is what --help says below the summary.
func (deleteCommand) Help() string {
	return `Without a condition, a key that is not there is no failure.

  orbit-cli delete --config orbit.toml user/42
  orbit-cli delete --config orbit.toml --if-revision 17 user/42
` + storeHelp
}

// Run deletes the key.
func (c *deleteCommand) Run(ctx context.Context) error {
	key, err := c.decode("key", c.Key)
	if err != nil {
		return err
	}
	o := providers.DeleteOptions{Fence: c.Fence}
	if o.IfRevision, err = parseRevision(c.IfRevision); err != nil {
		return err
	}
	return c.with(ctx, providers.General, false, func(s *session, p *providers.Provider) error {
		err := p.Delete(s.ctx, key, o)
		switch {
		case errors.Is(err, providers.ErrConflict):
			return fmt.Errorf("%w: the key %s is not at revision %s", err, c.encode(key), c.IfRevision)
		case err != nil:
			return err
		case s.json:
			return s.printJSON(map[string]any{"deleted": true})
		}
		return nil
	})
}

// listCommand prints entries in the order of their keys.
type listCommand struct {
	storeFlags
	encodingFlag
	Prefix   string `help:"Only keys that begin with this."`
	After    string `help:"Only keys after this one."`
	Limit    int    `placeholder:"N" help:"No more than N."`
	KeysOnly bool   `help:"Leave the values out."`
}

// Help is what --help says below the summary.
func (listCommand) Help() string {
	return `Prints a line for each entry, its key and its value with a tab between them, in the
order of keys. To go on after a limit, give the last key as --after.

  orbit-cli list --backend pebble --dir ./data --keys-only
  orbit-cli list --config orbit.toml --prefix user/ --limit 20
  orbit-cli list --config orbit.toml --prefix user/ --after user/42 --json | jq .value
` + storeHelp
}

// Run lists the entries.
func (c *listCommand) Run(ctx context.Context) error {
	if c.Limit < 0 {
		return bench.Usagef("--limit %d is below 0", c.Limit)
	}
	o := providers.ListOptions{Limit: c.Limit, KeysOnly: c.KeysOnly}
	var err error
	if o.Prefix, err = c.decode("--prefix", c.Prefix); err != nil {
		return err
	}
	if c.After != "" {
		if o.After, err = c.decode("--after", c.After); err != nil {
			return err
		}
	}
	return c.with(ctx, providers.General, false, func(s *session, p *providers.Provider) error {
		for e, err := range p.List(s.ctx, o) {
			switch {
			case err != nil:
				return err
			case s.json:
				if err := s.printJSON(entryJSON(e, c.KeysOnly)); err != nil {
					return err
				}
			case c.KeysOnly:
				s.printf("%s\n", c.encode(e.Key))
			default:
				s.printf("%s\t%s\n", c.encode(e.Key), c.encode(e.Value))
			}
		}
		return nil
	})
}

func parseRevision(text string) (providers.Revision, error) {
	r, err := driver.ParseRevision(text)
	if err != nil {
		return r, bench.Usagef("--if-revision: %w", err)
	}
	return r, nil
}
