;; The plugin of the recorded stores: it gives back what it is given, and undoes nothing. A core module with the names
;; that the component model's canonical ABI asks for; component types are embedded when it is made into a component.
(module
  (memory (export "memory") 16)
  ;; Where the next bytes are allocated. Below are the answers. A call has an instance of its own: nothing is freed.
  (global $next (mut i32) (i32.const 256))

  (func (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32)
    ;; Rounded up to the alignment, which is a power of two.
    (local.set $at
      (i32.and
        (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
    (global.set $next (i32.add (local.get $at) (local.get $size)))
    (local.get $at))

  ;; apply: func(call: call, input: payload) -> result<done, failure>
  ;; The parameters are more than sixteen values, and so are in memory: the call at 0, the length of its action's name at
  ;; 28; the input at 88: its media type at 88, its bytes at 96.
  (func (export "windlass:plugin/executor@1.0.0#apply") (param $at i32) (result i32)
    (local $left i32)
    ;; The action `slowly` takes a while.
    (if (i32.eq (i32.load offset=28 (local.get $at)) (i32.const 6))
      (then
        (local.set $left (i32.const 0x7fffffff))
        (loop $again
          (local.set $left (i32.sub (local.get $left) (i32.const 1)))
          (br_if $again (local.get $left)))))
    ;; ok(applied({ output: the input, undo: none })): what is not written is 0.
    (i64.store offset=16 (i32.const 0) (i64.load offset=88 align=4 (local.get $at)))
    (i64.store offset=24 (i32.const 0) (i64.load offset=96 align=4 (local.get $at)))
    (i32.const 0))

  ;; revert: func(call: call, input: payload, evidence: evidence) -> result<option<payload>, failure>
  ;; ok(none), which is all zeros.
  (func (export "windlass:plugin/executor@1.0.0#revert") (param $at i32) (result i32)
    (i32.const 128))

  (@custom "windlass:manifest" "{\"manifest\":1,\"name\":\"echo\",\"version\":\"1.0.0\",\"actions\":[{\"name\":\"echo\",\"input\":{\"type\":\"object\"},\"output\":{\"type\":\"object\"},\"reversible\":true},{\"name\":\"slowly\",\"input\":{\"type\":\"object\"},\"output\":{\"type\":\"object\"},\"reversible\":true}]}")
)
