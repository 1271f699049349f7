package kubernetes_test

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"sync"
	"testing"

	"github.com/orbit-persistence/orbit/providers/internal/objects/objectstest"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// bareClient is the client library alone, with the encoding that its authors recommend
// for large clusters and without its limit of five requests a second: it creates or
// updates a ConfigMap, at the version that it knows, and reads it.
func bareClient(b *testing.B, c *cluster) objectstest.Bare {
	r := restConfig(c.Address)
	gv := core.SchemeGroupVersion
	r.QPS, r.ContentType, r.AcceptContentTypes = -1, runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf
	r.GroupVersion, r.APIPath, r.NegotiatedSerializer = &gv, "/api", scheme.Codecs.WithoutConversion()
	client, err := rest.RESTClientFor(r)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.Client.CloseIdleConnections)
	var versions sync.Map
	var puts uint64
	named := func(name string) string { return "bare." + hex.EncodeToString([]byte(name)) }
	return objectstest.Bare{
		Put: func(ctx context.Context, name string, value []byte) error {
			// An update with the bytes that are there is not written by the API server. What
			// a put has before its value is therefore another number each time, as it is
			// with the provider.
			puts++
			value = append(binary.BigEndian.AppendUint64(nil, puts), value...)
			o := &core.ConfigMap{ObjectMeta: meta.ObjectMeta{Name: named(name), Namespace: "orbit"}, BinaryData: map[string][]byte{"value": value}}
			var made core.ConfigMap
			var err error
			if v, ok := versions.Load(name); ok {
				o.ResourceVersion = v.(string)
				err = client.Put().Namespace("orbit").Resource("configmaps").Name(o.Name).Body(o).Do(ctx).Into(&made)
			} else {
				if err = client.Post().Namespace("orbit").Resource("configmaps").Body(o).Do(ctx).Into(&made); apierrors.IsAlreadyExists(err) {
					err = client.Put().Namespace("orbit").Resource("configmaps").Name(o.Name).Body(o).Do(ctx).Into(&made)
				}
			}
			versions.Store(name, made.ResourceVersion)
			return err
		},
		Get: func(ctx context.Context, name string) ([]byte, error) {
			var o core.ConfigMap
			err := client.Get().Namespace("orbit").Resource("configmaps").Name(named(name)).Do(ctx).Into(&o)
			return o.BinaryData["value"], err
		},
	}
}
