// terraform-provider-five: a tiny Terraform provider that serves plugin protocol 5,
// on HashiCorp's go-plugin, grpc-go and go-cty as Debian bookworm packages them.
//
// Things live as JSON files in a folder (provider argument "store"), so read, drift and import are real.
// Environment: FIVE_LOG=file    append one line per RPC
//              FIVE_LEGACY=1    answer with legacy_type_system and break the type rules as old SDKs do
//              FIVE_LEGACY=lie  break the same rules without saying so
//              FIVE_CRASH=Rpc   exit(3) inside that RPC;  FIVE_FAIL=Rpc  answer an error diagnostic there
//              FIVE_SLOW=secs   ApplyResourceChange waits, until Stop arrives
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	hclog "github.com/hashicorp/go-hclog"
	plugin "github.com/hashicorp/go-plugin"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
	"github.com/zclconf/go-cty/cty/msgpack"
	"google.golang.org/grpc"

	"five/pb"
)

type attr struct {
	name                                             string
	ty                                               cty.Type
	req, opt, comp, sensitive, writeOnly, deprecated bool
	desc                                             string
}
type block struct {
	name     string
	mode     pb.Schema_NestedBlock_NestingMode
	min, max int64
	attrs    []attr
	blocks   []block
}
type schema struct {
	version int64
	block
}

func (b block) ty() cty.Type {
	m := map[string]cty.Type{}
	for _, a := range b.attrs {
		m[a.name] = a.ty
	}
	for _, n := range b.blocks {
		switch n.mode {
		case pb.Schema_NestedBlock_SINGLE, pb.Schema_NestedBlock_GROUP:
			m[n.name] = n.ty()
		case pb.Schema_NestedBlock_LIST:
			m[n.name] = cty.List(n.ty())
		case pb.Schema_NestedBlock_SET:
			m[n.name] = cty.Set(n.ty())
		case pb.Schema_NestedBlock_MAP:
			m[n.name] = cty.Map(n.ty())
		}
	}
	return cty.Object(m)
}
func tyJSON(t cty.Type) []byte {
	b, err := ctyjson.MarshalType(t)
	if err != nil {
		panic(err)
	}
	return b
}
func (b block) pb() *pb.Schema_Block {
	r := &pb.Schema_Block{Description: b.name + " block"}
	for _, a := range b.attrs {
		r.Attributes = append(r.Attributes, &pb.Schema_Attribute{Name: a.name, Type: tyJSON(a.ty), Required: a.req, Optional: a.opt,
			Computed: a.comp, Sensitive: a.sensitive, WriteOnly: a.writeOnly, Deprecated: a.deprecated, Description: a.desc})
	}
	for _, n := range b.blocks {
		r.BlockTypes = append(r.BlockTypes, &pb.Schema_NestedBlock{TypeName: n.name, Block: n.pb(), Nesting: n.mode, MinItems: n.min, MaxItems: n.max})
	}
	return r
}
func (s schema) pb() *pb.Schema { return &pb.Schema{Version: s.version, Block: s.block.pb()} }

var (
	S, N, B      = cty.String, cty.Number, cty.Bool
	provSchema   = schema{0, block{attrs: []attr{{name: "store", ty: S, opt: true}, {name: "prefix", ty: S, opt: true}, {name: "token", ty: S, opt: true, sensitive: true}}}}
	thing        = schema{1, block{attrs: []attr{
		{name: "id", ty: S, comp: true}, {name: "name", ty: S, req: true, desc: "a change of name replaces the thing"},
		{name: "size", ty: N, opt: true, comp: true, desc: "1 unless set"}, {name: "etag", ty: S, comp: true},
		{name: "tags", ty: cty.Map(S), opt: true}, {name: "list", ty: cty.List(S), opt: true}, {name: "on", ty: B, opt: true},
		{name: "pw", ty: S, opt: true, sensitive: true}, {name: "secret_wo", ty: S, opt: true, writeOnly: true}, {name: "secret_version", ty: N, opt: true},
		{name: "any", ty: cty.DynamicPseudoType, opt: true}, {name: "old", ty: S, opt: true, deprecated: true},
		{name: "obj", ty: cty.Object(map[string]cty.Type{"a": S, "b": N}), opt: true}},
		blocks: []block{
			{name: "rule", mode: pb.Schema_NestedBlock_SET, attrs: []attr{{name: "port", ty: N, req: true}, {name: "proto", ty: S, opt: true}}},
			{name: "step", mode: pb.Schema_NestedBlock_LIST, max: 3, attrs: []attr{{name: "cmd", ty: S, req: true}, {name: "out", ty: S, comp: true}},
				blocks: []block{{name: "env", mode: pb.Schema_NestedBlock_MAP, attrs: []attr{{name: "value", ty: S, req: true}}}}},
			{name: "meta", mode: pb.Schema_NestedBlock_SINGLE, attrs: []attr{{name: "owner", ty: S, opt: true}}},
			{name: "limits", mode: pb.Schema_NestedBlock_GROUP, attrs: []attr{{name: "cpu", ty: N, opt: true}}}}}}
	// dynamic may not stand inside a block with list nesting here, so none does
	oldThing  = schema{0, block{attrs: []attr{{name: "id", ty: S, comp: true}, {name: "title", ty: S, req: true}}}}
	lookup    = schema{0, block{attrs: []attr{{name: "name", ty: S, req: true}, {name: "id", ty: S, comp: true}, {name: "found", ty: B, comp: true}, {name: "upper", ty: S, comp: true}}}}
	token     = schema{0, block{attrs: []attr{{name: "name", ty: S, req: true}, {name: "value", ty: S, comp: true, sensitive: true}, {name: "renew_seconds", ty: N, opt: true}}}}
	resources = map[string]schema{"five_thing": thing, "five_old": oldThing}
	datas     = map[string]schema{"five_lookup": lookup}
	ephs      = map[string]schema{"five_token": token}
	functions = map[string]*pb.Function{
		"join": {Summary: "join strings", Parameters: []*pb.Function_Parameter{{Name: "sep", Type: tyJSON(S)}},
			VariadicParameter: &pb.Function_Parameter{Name: "parts", Type: tyJSON(S), AllowNullValue: true}, Return: &pb.Function_Return{Type: tyJSON(S)}},
		"shape": {Summary: "describe any value", Parameters: []*pb.Function_Parameter{{Name: "v", Type: tyJSON(cty.DynamicPseudoType), AllowNullValue: true, AllowUnknownValues: true}},
			Return: &pb.Function_Return{Type: tyJSON(cty.DynamicPseudoType)}},
		"fail": {Summary: "always fails on its second argument", Parameters: []*pb.Function_Parameter{{Name: "a", Type: tyJSON(S)}, {Name: "b", Type: tyJSON(S)}},
			Return: &pb.Function_Return{Type: tyJSON(S)}},
	}
)

type server struct {
	pb.UnimplementedProviderServer
	mu            sync.Mutex
	store, prefix string
	stop          chan struct{}
	once          sync.Once
}

func dec(d *pb.DynamicValue, t cty.Type) cty.Value {
	if d == nil || (len(d.Msgpack) == 0 && len(d.Json) == 0) {
		return cty.NullVal(t)
	}
	var v cty.Value
	var err error
	if len(d.Msgpack) > 0 {
		v, err = msgpack.Unmarshal(d.Msgpack, t)
	} else {
		v, err = ctyjson.Unmarshal(d.Json, t)
	}
	if err != nil {
		panic(err)
	}
	return v
}
func enc(v cty.Value, t cty.Type) *pb.DynamicValue {
	b, err := msgpack.Marshal(v, t)
	if err != nil {
		panic(err)
	}
	return &pb.DynamicValue{Msgpack: b}
}
func diag(sev pb.Diagnostic_Severity, sum, det string, path ...interface{}) *pb.Diagnostic {
	d := &pb.Diagnostic{Severity: sev, Summary: sum, Detail: det}
	if len(path) > 0 {
		d.Attribute = at(path...)
	}
	return d
}
func at(path ...interface{}) *pb.AttributePath {
	p := &pb.AttributePath{}
	for i, s := range path {
		switch x := s.(type) {
		case string:
			if i == 0 || x[0] != '[' {
				p.Steps = append(p.Steps, &pb.AttributePath_Step{Selector: &pb.AttributePath_Step_AttributeName{AttributeName: x}})
			} else {
				p.Steps = append(p.Steps, &pb.AttributePath_Step{Selector: &pb.AttributePath_Step_ElementKeyString{ElementKeyString: strings.Trim(x, "[]")}})
			}
		case int:
			p.Steps = append(p.Steps, &pb.AttributePath_Step{Selector: &pb.AttributePath_Step_ElementKeyInt{ElementKeyInt: int64(x)}})
		}
	}
	return p
}
func str(v cty.Value) string {
	if v.IsNull() || !v.IsKnown() || v.Type() != S {
		return ""
	}
	return v.AsString()
}
func legacy() bool { return os.Getenv("FIVE_LEGACY") != "" }
func with(v cty.Value, kv map[string]cty.Value) cty.Value {
	m := v.AsValueMap()
	for k, x := range kv {
		m[k] = x
	}
	return cty.ObjectVal(m)
}
func (s *server) dir() string {
	if s.store == "" {
		return os.TempDir()
	}
	return s.store
}
func (s *server) file(id string) string { return filepath.Join(s.dir(), "five-"+id+".json") }
func (s *server) save(id string, v cty.Value) error {
	b, err := ctyjson.Marshal(v, v.Type())
	if err != nil {
		return err
	}
	t, _ := ctyjson.MarshalType(v.Type())
	return os.WriteFile(s.file(id), []byte(fmt.Sprintf(`{"type":%s,"value":%s}`, t, b)), 0o600)
}
func (s *server) load(id string) (cty.Value, bool) {
	b, err := os.ReadFile(s.file(id))
	if err != nil {
		return cty.NilVal, false
	}
	var f struct{ Type, Value json.RawMessage }
	if json.Unmarshal(b, &f) != nil {
		return cty.NilVal, false
	}
	t, err := ctyjson.UnmarshalType(f.Type)
	if err != nil {
		return cty.NilVal, false
	}
	v, err := ctyjson.Unmarshal(f.Value, t)
	return v, err == nil
}
func newID() string { b := make([]byte, 4); rand.Read(b); return hex.EncodeToString(b) }

func (s *server) GetSchema(context.Context, *pb.GetProviderSchema_Request) (*pb.GetProviderSchema_Response, error) {
	r := &pb.GetProviderSchema_Response{Provider: provSchema.pb(), ResourceSchemas: map[string]*pb.Schema{}, DataSourceSchemas: map[string]*pb.Schema{},
		EphemeralResourceSchemas: map[string]*pb.Schema{}, Functions: functions, ProviderMeta: schema{0, block{attrs: []attr{{name: "module", ty: S, opt: true}}}}.pb(),
		ServerCapabilities: &pb.ServerCapabilities{PlanDestroy: true, MoveResourceState: true, GetProviderSchemaOptional: os.Getenv("FIVE_SCHEMA_OPTIONAL") != ""}}
	for k, v := range resources {
		r.ResourceSchemas[k] = v.pb()
	}
	for k, v := range datas {
		r.DataSourceSchemas[k] = v.pb()
	}
	for k, v := range ephs {
		r.EphemeralResourceSchemas[k] = v.pb()
	}
	return r, nil
}
func (s *server) GetFunctions(context.Context, *pb.GetFunctions_Request) (*pb.GetFunctions_Response, error) {
	return &pb.GetFunctions_Response{Functions: functions}, nil
}
func (s *server) PrepareProviderConfig(_ context.Context, q *pb.PrepareProviderConfig_Request) (*pb.PrepareProviderConfig_Response, error) {
	t := provSchema.ty()
	v := dec(q.Config, t)
	r := &pb.PrepareProviderConfig_Response{}
	if p := v.GetAttr("prefix"); p.IsKnown() && p.IsNull() { // protocol 5 lets a provider fill defaults in here
		v = with(v, map[string]cty.Value{"prefix": cty.StringVal("prepared")})
	} else if str(p) == "bad" {
		r.Diagnostics = append(r.Diagnostics, diag(pb.Diagnostic_ERROR, "Bad prefix", "prefix may not be \"bad\"", "prefix"))
	}
	r.PreparedConfig = enc(v, t)
	return r, nil
}
func (s *server) Configure(_ context.Context, q *pb.Configure_Request) (*pb.Configure_Response, error) {
	v := dec(q.Config, provSchema.ty())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store, s.prefix = str(v.GetAttr("store")), str(v.GetAttr("prefix"))
	logf("  configured by terraform %s prefix=%q store=%q", q.TerraformVersion, s.prefix, s.store)
	r := &pb.Configure_Response{}
	if s.store != "" {
		if err := os.MkdirAll(s.store, 0o700); err != nil {
			r.Diagnostics = append(r.Diagnostics, diag(pb.Diagnostic_ERROR, "No store", err.Error(), "store"))
		}
	}
	return r, nil
}
func (s *server) ValidateResourceTypeConfig(_ context.Context, q *pb.ValidateResourceTypeConfig_Request) (*pb.ValidateResourceTypeConfig_Response, error) {
	v := dec(q.Config, resources[q.TypeName].ty())
	r := &pb.ValidateResourceTypeConfig_Response{}
	if q.TypeName == "five_thing" {
		if str(v.GetAttr("name")) == "bad" {
			r.Diagnostics = append(r.Diagnostics, diag(pb.Diagnostic_ERROR, "Bad name", "name may not be \"bad\"", "name"))
		}
		if st := v.GetAttr("step"); st.IsKnown() && !st.IsNull() {
			for i, e := range st.AsValueSlice() {
				if e.IsKnown() && str(e.GetAttr("cmd")) == "warn" {
					r.Diagnostics = append(r.Diagnostics, diag(pb.Diagnostic_WARNING, "Odd cmd", "cmd is \"warn\"", "step", i, "cmd"))
				}
			}
		}
		if !q.ClientCapabilities.GetWriteOnlyAttributesAllowed() && !v.GetAttr("secret_wo").IsNull() {
			r.Diagnostics = append(r.Diagnostics, diag(pb.Diagnostic_ERROR, "No write-only", "this host does not allow write-only attributes", "secret_wo"))
		}
	}
	return r, nil
}
func (s *server) ValidateDataSourceConfig(_ context.Context, q *pb.ValidateDataSourceConfig_Request) (*pb.ValidateDataSourceConfig_Response, error) {
	dec(q.Config, datas[q.TypeName].ty())
	return &pb.ValidateDataSourceConfig_Response{}, nil
}
func (s *server) ValidateEphemeralResourceConfig(_ context.Context, q *pb.ValidateEphemeralResourceConfig_Request) (*pb.ValidateEphemeralResourceConfig_Response, error) {
	dec(q.Config, ephs[q.TypeName].ty())
	return &pb.ValidateEphemeralResourceConfig_Response{}, nil
}

// fromJSON builds a value of type t from a state file's object, nulls for what is missing and nothing for what is unknown to t.
func fromJSON(raw []byte, sc schema, rename map[string]string) (cty.Value, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		return cty.NilVal, err
	}
	for from, to := range rename {
		if x, ok := m[from]; ok {
			m[to] = x
			delete(m, from)
		}
	}
	t, out := sc.ty(), map[string]cty.Value{}
	for k, at := range t.AttributeTypes() {
		x, ok := m[k]
		if !ok {
			out[k] = emptyOf(sc, k, at)
			continue
		}
		v, err := ctyjson.Unmarshal(x, at)
		if err != nil {
			return cty.NilVal, err
		}
		out[k] = v
	}
	return cty.ObjectVal(out), nil
}
func emptyOf(sc schema, k string, t cty.Type) cty.Value {
	for _, b := range sc.blocks {
		if b.name == k {
			switch b.mode {
			case pb.Schema_NestedBlock_LIST:
				return cty.ListValEmpty(t.ElementType())
			case pb.Schema_NestedBlock_SET:
				return cty.SetValEmpty(t.ElementType())
			case pb.Schema_NestedBlock_MAP:
				return cty.MapValEmpty(t.ElementType())
			case pb.Schema_NestedBlock_GROUP:
				m := map[string]cty.Value{}
				for n, at := range t.AttributeTypes() {
					m[n] = cty.NullVal(at)
				}
				return cty.ObjectVal(m)
			}
		}
	}
	return cty.NullVal(t)
}
func (s *server) UpgradeResourceState(_ context.Context, q *pb.UpgradeResourceState_Request) (*pb.UpgradeResourceState_Response, error) {
	sc := resources[q.TypeName]
	rename := map[string]string{}
	if q.TypeName == "five_thing" && q.Version < 1 {
		rename["title"] = "name"
	}
	v, err := fromJSON(q.RawState.Json, sc, rename)
	r := &pb.UpgradeResourceState_Response{}
	if err != nil {
		r.Diagnostics = append(r.Diagnostics, diag(pb.Diagnostic_ERROR, "Cannot upgrade", err.Error()))
		return r, nil
	}
	r.UpgradedState = enc(v, sc.ty())
	return r, nil
}
func (s *server) ReadResource(_ context.Context, q *pb.ReadResource_Request) (*pb.ReadResource_Response, error) {
	t := resources[q.TypeName].ty()
	v := dec(q.CurrentState, t)
	r := &pb.ReadResource_Response{Private: q.Private}
	got, ok := s.load(str(v.GetAttr("id")))
	if !ok {
		r.NewState = enc(cty.NullVal(t), t)
		return r, nil
	}
	m := v.AsValueMap()
	for k, x := range got.AsValueMap() { // drift: what the file holds wins
		if at, ok := t.AttributeTypes()[k]; ok && (at == cty.DynamicPseudoType || x.Type().Equals(at)) {
			m[k] = x
		}
	}
	if q.TypeName == "five_thing" { // a file that a five_old wrote, after a move or an import
		if x, ok := got.AsValueMap()["title"]; ok {
			m["name"] = x
		}
		if m["size"].IsNull() {
			m["size"] = cty.NumberIntVal(1)
		}
	}
	r.NewState = enc(cty.ObjectVal(m), t)
	return r, nil
}
func (s *server) PlanResourceChange(_ context.Context, q *pb.PlanResourceChange_Request) (*pb.PlanResourceChange_Response, error) {
	sc := resources[q.TypeName]
	t := sc.ty()
	prior, prop, conf := dec(q.PriorState, t), dec(q.ProposedNewState, t), dec(q.Config, t)
	r := &pb.PlanResourceChange_Response{LegacyTypeSystem: os.Getenv("FIVE_LEGACY") == "1", PlannedPrivate: q.PriorPrivate}
	if m := q.ProviderMeta; m != nil {
		logf("  provider_meta %x", m.Msgpack)
	}
	if prop.IsNull() {
		r.PlannedState = enc(prop, t)
		return r, nil
	}
	create, changed := prior.IsNull(), false
	kv := map[string]cty.Value{}
	if q.TypeName == "five_thing" {
		kv["secret_wo"] = cty.NullVal(S)
		if conf.GetAttr("size").IsNull() {
			kv["size"] = cty.NumberIntVal(1)
		}
		prop = with(prop, kv)
		name := "name"
		if !create {
			changed = !prop.RawEquals(prior)
			if !prop.GetAttr(name).RawEquals(prior.GetAttr(name)) {
				r.RequiresReplace = append(r.RequiresReplace, at(name))
			}
			if sv := prop.GetAttr("secret_version"); changed && sv.RawEquals(prior.GetAttr("secret_version")) == false {
				logf("  secret_wo sent on plan: %v", !conf.GetAttr("secret_wo").IsNull())
			}
		}
		if create || changed {
			prop = with(prop, map[string]cty.Value{"etag": cty.UnknownVal(S)})
			if st := prop.GetAttr("step"); st.IsKnown() && st.LengthInt() > 0 {
				var l []cty.Value
				for _, e := range st.AsValueSlice() {
					l = append(l, with(e, map[string]cty.Value{"out": cty.UnknownVal(S)}))
				}
				prop = with(prop, map[string]cty.Value{"step": cty.ListVal(l)})
			}
		}
	} else if !create && !prop.GetAttr("title").RawEquals(prior.GetAttr("title")) {
		r.RequiresReplace = append(r.RequiresReplace, at("title"))
	}
	if create {
		prop = with(prop, map[string]cty.Value{"id": cty.UnknownVal(S)})
		r.PlannedPrivate = []byte("planned")
	}
	if legacy() && q.TypeName == "five_thing" && prop.GetAttr("old").IsNull() { // what old SDKs did: null turned into ""
		prop = with(prop, map[string]cty.Value{"old": cty.StringVal("")})
	}
	r.PlannedState = enc(prop, t)
	return r, nil
}
func (s *server) ApplyResourceChange(ctx context.Context, q *pb.ApplyResourceChange_Request) (*pb.ApplyResourceChange_Response, error) {
	t := resources[q.TypeName].ty()
	prior, plan, conf := dec(q.PriorState, t), dec(q.PlannedState, t), dec(q.Config, t)
	r := &pb.ApplyResourceChange_Response{LegacyTypeSystem: os.Getenv("FIVE_LEGACY") == "1"}
	if d, err := time.ParseDuration(os.Getenv("FIVE_SLOW") + "s"); err == nil && d > 0 {
		select {
		case <-time.After(d):
		case <-s.stop:
			r.NewState = enc(prior, t)
			r.Diagnostics = append(r.Diagnostics, diag(pb.Diagnostic_ERROR, "Stopped", "Stop arrived while waiting"))
			return r, nil
		}
	}
	if plan.IsNull() {
		os.Remove(s.file(str(prior.GetAttr("id"))))
		r.NewState = enc(plan, t)
		return r, nil
	}
	kv := map[string]cty.Value{}
	id := str(plan.GetAttr("id"))
	if id == "" {
		id = newID()
		kv["id"] = cty.StringVal(id)
	}
	if q.TypeName == "five_thing" {
		if e := plan.GetAttr("etag"); !e.IsKnown() {
			kv["etag"] = cty.StringVal(s.prefix + "-" + newID())
		}
		if w := conf.GetAttr("secret_wo"); !w.IsNull() {
			logf("  write-only value of %d bytes reached apply", len(str(w)))
		}
		if st := plan.GetAttr("step"); st.IsKnown() && st.LengthInt() > 0 {
			var l []cty.Value
			for _, e := range st.AsValueSlice() {
				if !e.GetAttr("out").IsKnown() {
					e = with(e, map[string]cty.Value{"out": cty.StringVal("ran " + str(e.GetAttr("cmd")))})
				}
				l = append(l, e)
			}
			kv["step"] = cty.ListVal(l)
		}
	}
	v := with(plan, kv)
	if err := s.save(id, v); err != nil {
		r.Diagnostics = append(r.Diagnostics, diag(pb.Diagnostic_ERROR, "Cannot save", err.Error()))
		r.NewState = q.PriorState
		return r, nil
	}
	r.NewState, r.Private = enc(v, t), append(q.PlannedPrivate, []byte("+applied")...)
	return r, nil
}
func (s *server) ImportResourceState(_ context.Context, q *pb.ImportResourceState_Request) (*pb.ImportResourceState_Response, error) {
	sc := resources[q.TypeName]
	t, m := sc.ty(), map[string]cty.Value{}
	for k, at := range t.AttributeTypes() {
		m[k] = emptyOf(sc, k, at)
	}
	m["id"] = cty.StringVal(q.Id)
	return &pb.ImportResourceState_Response{ImportedResources: []*pb.ImportResourceState_ImportedResource{{TypeName: q.TypeName, State: enc(cty.ObjectVal(m), t), Private: []byte("imported")}}}, nil
}
func (s *server) MoveResourceState(_ context.Context, q *pb.MoveResourceState_Request) (*pb.MoveResourceState_Response, error) {
	r := &pb.MoveResourceState_Response{}
	logf("  move %s %s v%d -> %s", q.SourceProviderAddress, q.SourceTypeName, q.SourceSchemaVersion, q.TargetTypeName)
	if q.SourceTypeName != "five_old" || q.TargetTypeName != "five_thing" {
		r.Diagnostics = append(r.Diagnostics, diag(pb.Diagnostic_ERROR, "Cannot move", q.SourceTypeName+" to "+q.TargetTypeName))
		return r, nil
	}
	v, err := fromJSON(q.SourceState.Json, thing, map[string]string{"title": "name"})
	if err != nil {
		return nil, err
	}
	r.TargetState, r.TargetPrivate = enc(with(v, map[string]cty.Value{"size": cty.NumberIntVal(1)}), thing.ty()), []byte("moved")
	return r, nil
}
func (s *server) ReadDataSource(_ context.Context, q *pb.ReadDataSource_Request) (*pb.ReadDataSource_Response, error) {
	t := datas[q.TypeName].ty()
	v := dec(q.Config, t)
	name, id := str(v.GetAttr("name")), ""
	l, _ := filepath.Glob(s.file("*"))
	sort.Strings(l)
	for _, f := range l {
		x := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), "five-"), ".json")
		if got, ok := s.load(x); ok && got.Type().HasAttribute("name") && str(got.GetAttr("name")) == name {
			id = x
		}
	}
	return &pb.ReadDataSource_Response{State: enc(with(v, map[string]cty.Value{"id": cty.StringVal(id), "found": cty.BoolVal(id != ""), "upper": cty.StringVal(strings.ToUpper(name))}), t)}, nil
}
func renewAt(v cty.Value) *pb.Timestamp {
	if v.IsNull() || !v.IsKnown() {
		return nil
	}
	f, _ := new(big.Float).Set(v.AsBigFloat()).Float64()
	return &pb.Timestamp{Seconds: time.Now().Add(time.Duration(f * 1e9)).Unix()}
}
func (s *server) OpenEphemeralResource(_ context.Context, q *pb.OpenEphemeralResource_Request) (*pb.OpenEphemeralResource_Response, error) {
	t := ephs[q.TypeName].ty()
	v := dec(q.Config, t)
	return &pb.OpenEphemeralResource_Response{Result: enc(with(v, map[string]cty.Value{"value": cty.StringVal("tok-" + newID())}), t), Private: []byte("p0"), RenewAt: renewAt(v.GetAttr("renew_seconds"))}, nil
}
func (s *server) RenewEphemeralResource(_ context.Context, q *pb.RenewEphemeralResource_Request) (*pb.RenewEphemeralResource_Response, error) {
	return &pb.RenewEphemeralResource_Response{Private: append(q.Private, '+'), RenewAt: &pb.Timestamp{Seconds: time.Now().Unix() + 1}}, nil
}
func (s *server) CloseEphemeralResource(_ context.Context, q *pb.CloseEphemeralResource_Request) (*pb.CloseEphemeralResource_Response, error) {
	logf("  close with private %q", q.Private)
	return &pb.CloseEphemeralResource_Response{}, nil
}
func (s *server) CallFunction(_ context.Context, q *pb.CallFunction_Request) (*pb.CallFunction_Response, error) {
	switch q.Name {
	case "join":
		sep, l := str(dec(q.Arguments[0], S)), []string{}
		for _, a := range q.Arguments[1:] {
			l = append(l, str(dec(a, S)))
		}
		return &pb.CallFunction_Response{Result: enc(cty.StringVal(strings.Join(l, sep)), S)}, nil
	case "shape":
		v := dec(q.Arguments[0], cty.DynamicPseudoType)
		out := cty.ObjectVal(map[string]cty.Value{"type": cty.StringVal(string(tyJSON(v.Type()))), "known": cty.BoolVal(v.IsWhollyKnown()), "null": cty.BoolVal(v.IsNull())})
		return &pb.CallFunction_Response{Result: enc(out, cty.DynamicPseudoType)}, nil
	case "fail":
		i := int64(1)
		return &pb.CallFunction_Response{Error: &pb.FunctionError{Text: "b is never right", FunctionArgument: &i}}, nil
	}
	return nil, errors.New("no function " + q.Name)
}
func (s *server) Stop(context.Context, *pb.Stop_Request) (*pb.Stop_Response, error) {
	s.once.Do(func() { close(s.stop) })
	return &pb.Stop_Response{}, nil
}

var logMu sync.Mutex

func logf(f string, a ...interface{}) {
	if p := os.Getenv("FIVE_LOG"); p != "" {
		logMu.Lock()
		defer logMu.Unlock()
		if w, err := os.OpenFile(p, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err == nil {
			fmt.Fprintf(w, "%d "+f+"\n", append([]interface{}{os.Getpid()}, a...)...)
			w.Close()
		}
	}
}
func intercept(ctx context.Context, q interface{}, i *grpc.UnaryServerInfo, h grpc.UnaryHandler) (r interface{}, err error) {
	m := filepath.Base(i.FullMethod)
	ty := ""
	if x, ok := q.(interface{ GetTypeName() string }); ok {
		ty = " " + x.GetTypeName()
	}
	logf("%s%s", m, ty)
	if os.Getenv("FIVE_CRASH") == m {
		os.Exit(3)
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in %s: %v", m, p)
			logf("  PANIC %v", p)
		}
	}()
	if os.Getenv("FIVE_FAIL") == m {
		return nil, fmt.Errorf("FIVE_FAIL asked for an error in %s", m)
	}
	return h(ctx, q)
}

type gp struct{ plugin.NetRPCUnsupportedPlugin }

func (gp) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	pb.RegisterProviderServer(s, &server{stop: make(chan struct{})})
	return nil
}
func (gp) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (interface{}, error) {
	return nil, errors.New("server only")
}

func main() {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{ProtocolVersion: 4, MagicCookieKey: "TF_PLUGIN_MAGIC_COOKIE",
			MagicCookieValue: "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"},
		VersionedPlugins: map[int]plugin.PluginSet{5: {"provider": gp{}}},
		Logger:           hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: os.Stderr, JSONFormat: true}),
		GRPCServer: func(o []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(o, grpc.UnaryInterceptor(intercept), grpc.MaxRecvMsgSize(256<<20), grpc.MaxSendMsgSize(256<<20))...)
		},
	})
}
