package kubernetes

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// leasePrefix begins the keys of the leases of package lease.
	leasePrefix = "lease/"

	domain   = "orbit-persistence.github.io/"
	storeTag = domain + "store" // label: the name of the store, hashed; of parts, with a p
	groupTag = domain + "group" // label: the first part of the key, hashed
	keyNote  = domain + "key"   // annotation: the key, quoted
	leasedAs = domain + "value" // annotation of a Lease: the value, in base64
	dataName = "value"

	// maxInline is the largest value within a ConfigMap or a Secret, which take 1 MiB, and
	// part how much of a larger one each part has.
	maxInline = 1<<20 - 4096
	// maxLease is that of a Lease, all of whose annotations have 256 KiB.
	maxLease = 128 << 10
	// maxParts bounds the parts of a value.
	maxParts = 16
)

// kind is one of the kinds of object that hold entries.
type kind struct {
	resource string
	inline   int // the largest value within an object
	make     func(m meta.ObjectMeta, value []byte, writer string) runtime.Object
	empty    func() runtime.Object
	list     func() runtime.Object
	// revived: an update makes what is not there, whatever version it is told, unless it
	// names the UID too.
	revived bool
	// items returns the objects of a list.
	items func(list runtime.Object) []runtime.Object
	// open returns an object's name and version, and what is stored in it.
	open func(o runtime.Object) (*meta.ObjectMeta, []byte, error)
}

// version returns the version of an object, by which an update can be told to replace that
// one and nothing else: its resourceVersion, and where that is not enough a space and its
// UID.
func (k *kind) version(m *meta.ObjectMeta) string {
	if k.revived {
		return m.ResourceVersion + " " + string(m.UID)
	}
	return m.ResourceVersion
}

// at says in an object which version it is to replace; "" is whichever is there.
func (k *kind) at(m *meta.ObjectMeta, version string) error {
	number, uid, ok := strings.Cut(version, " ")
	if version != "" && ok != k.revived {
		return fmt.Errorf("%w: %q is no version of %s", driver.ErrConflict, version, k.resource)
	}
	m.ResourceVersion, m.UID = number, types.UID(uid)
	return nil
}

var configMaps = &kind{
	resource: "configmaps", inline: maxInline,
	make: func(m meta.ObjectMeta, value []byte, _ string) runtime.Object {
		return &core.ConfigMap{ObjectMeta: m, BinaryData: map[string][]byte{dataName: value}}
	},
	empty: func() runtime.Object { return new(core.ConfigMap) },
	list:  func() runtime.Object { return new(core.ConfigMapList) },
	items: func(list runtime.Object) (all []runtime.Object) {
		items := list.(*core.ConfigMapList).Items
		for i := range items {
			all = append(all, &items[i])
		}
		return all
	},
	open: func(o runtime.Object) (*meta.ObjectMeta, []byte, error) {
		c := o.(*core.ConfigMap)
		v, ok := c.BinaryData[dataName]
		return &c.ObjectMeta, v, stored(ok)
	},
}

var secrets = &kind{
	resource: "secrets", inline: maxInline,
	make: func(m meta.ObjectMeta, value []byte, _ string) runtime.Object {
		return &core.Secret{ObjectMeta: m, Type: core.SecretTypeOpaque, Data: map[string][]byte{dataName: value}}
	},
	empty: func() runtime.Object { return new(core.Secret) },
	list:  func() runtime.Object { return new(core.SecretList) },
	items: func(list runtime.Object) (all []runtime.Object) {
		items := list.(*core.SecretList).Items
		for i := range items {
			all = append(all, &items[i])
		}
		return all
	},
	open: func(o runtime.Object) (*meta.ObjectMeta, []byte, error) {
		c := o.(*core.Secret)
		v, ok := c.Data[dataName]
		return &c.ObjectMeta, v, stored(ok)
	},
}

var leases = &kind{
	resource: "leases", inline: maxLease, revived: true,
	make: func(m meta.ObjectMeta, value []byte, writer string) runtime.Object {
		m.Annotations[leasedAs] = base64.StdEncoding.EncodeToString(value)
		now := meta.NewMicroTime(time.Now()) // for who looks at it; nothing here reads it
		return &coordination.Lease{ObjectMeta: m, Spec: coordination.LeaseSpec{HolderIdentity: &writer, RenewTime: &now}}
	},
	empty: func() runtime.Object { return new(coordination.Lease) },
	list:  func() runtime.Object { return new(coordination.LeaseList) },
	items: func(list runtime.Object) (all []runtime.Object) {
		items := list.(*coordination.LeaseList).Items
		for i := range items {
			all = append(all, &items[i])
		}
		return all
	},
	open: func(o runtime.Object) (*meta.ObjectMeta, []byte, error) {
		l := o.(*coordination.Lease)
		text, ok := l.Annotations[leasedAs]
		if !ok {
			return &l.ObjectMeta, nil, stored(false)
		}
		v, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			err = fmt.Errorf("%w: the annotation %s is not base64", driver.ErrCorrupt, leasedAs)
		}
		return &l.ObjectMeta, v, err
	},
}

func stored(ok bool) error {
	if ok {
		return nil
	}
	return fmt.Errorf("%w: the object has no %s; something else has written it", driver.ErrCorrupt, dataName)
}

// digits are those of keys in names; they have the order of the bits that they stand for.
var digits = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// keyOf returns the key of a name that begins with a store's name; ErrCorrupt if it has
// none.
func keyOf(store, name string) ([]byte, error) {
	text, ok := strings.CutPrefix(name, store+".")
	if ok {
		key, err := digits.DecodeString(text)
		if err == nil && len(key) > 0 && digits.EncodeToString(key) == text {
			return key, nil
		}
	}
	return nil, fmt.Errorf("%w: an object %q, whose name is not that of a key", driver.ErrCorrupt, name)
}

// maxKey returns the largest key in a name.
func maxKey(store string) int { return (validNameBytes - len(store) - 1) * 5 / 8 }

const validNameBytes = 253

func hash(text string) string {
	h := fnv.New64a()
	h.Write([]byte(text))
	return strconv.FormatUint(h.Sum64(), 36)
}

// groupOf returns the label of the first part of a key, up to and with a slash; "" if it
// has none. Of a prefix it is the label of all keys with it.
func groupOf(key []byte) string {
	if i := bytes.IndexByte(key, '/'); i >= 0 {
		return hash(string(key[:i+1]))
	}
	return ""
}

// What is stored of a value is u8 version 1, u8 0, 8 bytes at random, and the value; or u8
// version 1, u8 1, 8 bytes at random that name its parts, u32 how many there are, u64 how
// long it is. Without the random bytes an update with the bytes that are there already
// would change nothing, for the API server, and leave the resourceVersion as it is.
const (
	storedVersion = 1
	inlineValue   = 0
	partedValue   = 1

	inlineHeader = 2 + 8
	partedBytes  = 2 + 8 + 4 + 8
)

// parts name the parts of a value.
type parts struct {
	id     [8]byte
	number int
	size   uint64
}

func encodeInline(value []byte) []byte {
	b := make([]byte, 0, inlineHeader+len(value))
	b = append(b, storedVersion, inlineValue)
	b = binary.BigEndian.AppendUint64(b, rand.Uint64())
	return append(b, value...)
}

func encodeParted(p parts) []byte {
	b := append([]byte{storedVersion, partedValue}, p.id[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(p.number))
	return binary.BigEndian.AppendUint64(b, p.size)
}

// decodeStored returns the value, or its parts.
func decodeStored(data []byte) (value []byte, p *parts, err error) {
	switch {
	case len(data) >= inlineHeader && data[0] == storedVersion && data[1] == inlineValue:
		return data[inlineHeader:], nil, nil
	case len(data) == partedBytes && data[0] == storedVersion && data[1] == partedValue:
		p = &parts{id: [8]byte(data[2:10]), number: int(binary.BigEndian.Uint32(data[10:])), size: binary.BigEndian.Uint64(data[14:])}
		if p.number > 0 && p.number <= maxParts && p.size <= uint64(p.number)*maxInline {
			return nil, p, nil
		}
	}
	return nil, nil, fmt.Errorf("%w: %d bytes that begin with %x are not what this program, which knows version %d, has stored", driver.ErrCorrupt, len(data), data[:min(len(data), partedBytes)], storedVersion)
}
