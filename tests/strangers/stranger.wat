(module
  ;;IMPORTS
  (memory (export "memory") 8) ;;FIRST
  (global $heap (mut i32) (i32.const 65536))
  (global $evil (mut i32) (i32.const 0))
  (global $first (mut i32) (i32.const 0))
  (global $last (mut i32) (i32.const 0))
  (data (i32.const 512) "x-do")
  (data (i32.const 520) "\06")
  (data (i32.const 536) "maindead")
  (data (i32.const 4096) ";;DATA")
  ;;MORE

  (func $room (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (if (global.get $evil) (then ;;ROOM
    ))
    (global.set $heap (i32.and (i32.add (global.get $heap) (i32.const 15)) (i32.const -16)))
    (global.get $heap)
    (global.set $heap (i32.add (global.get $heap) (local.get 3))))

  (func $asked (result i32)
    (call $header (i32.const 512) (i32.const 4) (i32.const 2048))
    (i32.load8_u (i32.const 2048)))

  ;; The same of a TCP connection: whether it comes from an address that ends in 2.
  (func $connected (result i32)
    (call $client (i32.const 2048))
    (i32.eq (i32.const 50) (i32.load8_u (i32.sub
      (i32.add (i32.load (i32.const 2048)) (i32.load (i32.const 2052))) (i32.const 1)))))

  (func $clear
    (global.set $heap (i32.const 65536))
    (memory.fill (i32.const 1024) (i32.const 0) (i32.const 64)))

  ;; Status, fields and how many, body and how long.
  (func $respond (param i32 i32 i32 i32 i32) (result i32)
    (i32.store8 (i32.const 1024) (i32.const 2))
    (i32.store16 (i32.const 1028) (local.get 0))
    (i32.store (i32.const 1032) (local.get 1))
    (i32.store (i32.const 1036) (local.get 2))
    (i32.store (i32.const 1040) (local.get 3))
    (i32.store (i32.const 1044) (local.get 4))
    (i32.const 1024))

  ;; Status alone.
  (func $answer (param i32) (result i32)
    (call $respond (local.get 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))

  ;; 0 for a cluster, 1 for an address; which.
  (func $forward (param i32 i32 i32) (result i32)
    (i32.store8 (i32.const 1024) (i32.const 1))
    (i32.store8 (i32.const 1028) (local.get 0))
    (i32.store (i32.const 1032) (local.get 1))
    (i32.store (i32.const 1036) (local.get 2))
    (i32.const 1024))

  ;; Status, location.
  (func $redirect (param i32 i32 i32) (result i32)
    (i32.store8 (i32.const 1024) (i32.const 3))
    (i32.store16 (i32.const 1028) (local.get 0))
    (i32.store (i32.const 1032) (local.get 1))
    (i32.store (i32.const 1036) (local.get 2))
    (i32.const 1024))

  ;; A TCP connection to a cluster whose name has four letters, as it is.
  (func $forwarded (param i32) (result i32)
    (i32.store (i32.const 1104) (i32.const 0))
    (i32.store (i32.const 1108) (local.get 0))
    (i32.store (i32.const 1112) (i32.const 4))
    (i32.store8 (i32.const 1024) (i32.const 1))
    (i32.store (i32.const 1028) (i32.const 1104))
    (i32.store (i32.const 1032) (i32.const 1))
    (i32.const 1024))

  ;; A list: of edits, or bytes; and how many.
  (func $list (param i32 i32) (result i32)
    (i32.store (i32.const 1024) (local.get 0))
    (i32.store (i32.const 1028) (local.get 1))
    (i32.const 1024))

  ;; One edit: its case, and up to two texts.
  (func $edit (param i32 i32 i32 i32 i32) (result i32)
    (i32.store8 (i32.const 1072) (local.get 0))
    (i32.store (i32.const 1076) (local.get 1))
    (i32.store (i32.const 1080) (local.get 2))
    (i32.store (i32.const 1084) (local.get 3))
    (i32.store (i32.const 1088) (local.get 4))
    (call $list (i32.const 1072) (i32.const 1)))

  ;; Bytes, and whether there are more.
  (func $output (param i32 i32 i32) (result i32)
    (call $clear)
    (i32.store (i32.const 1024) (local.get 0))
    (i32.store (i32.const 1028) (local.get 1))
    (i32.store8 (i32.const 1032) (local.get 2))
    (i32.const 1024))

  (func $start
    ;;Start
  )
  (start $start)

  (func (export "linkspan:plugin/lifecycle@0.1.0#configure") (param i32 i32) (result i32)
    (call $clear)
    ;;BIRTH
    ;;Configure
    (i32.const 1024))

  (func (export "linkspan:plugin/balancer@0.1.0#update") (param i32 i32 i32)
    (if (local.get 2) (then
      (global.set $first (i32.load (local.get 1)))
      (global.set $last (i32.load (i32.add (local.get 1)
        (i32.mul (i32.const 28) (i32.sub (local.get 2) (i32.const 1))))))))
    ;;Update
    (call $clear))

  (func (export "linkspan:plugin/balancer@0.1.0#changed") (param i32 i32 i32)
    ;;Changed
    (call $clear))

  (func (export "linkspan:plugin/balancer@0.1.0#pick") (param i32 i32 i32 i32 i64) (result i32)
    (call $clear)
    ;;Pick
    (i32.store (i32.const 1032)
      (select (global.get $last) (global.get $first) (local.get 1)))
    (i32.const 1024))

  ;; What becomes of choices: the cluster, the endpoint and the token, and what there is to say.
  (func (export "linkspan:plugin/outcomes@0.1.0#chosen") (param i32 i32 i64)
    ;;Chosen
  )
  (func (export "linkspan:plugin/outcomes@0.1.0#connected") (param i32 i32 i64 i64)
    ;;Connected
  )
  (func (export "linkspan:plugin/outcomes@0.1.0#failed") (param i32 i32 i64 i32)
    ;;Failed
  )
  (func (export "linkspan:plugin/outcomes@0.1.0#finished") (param i32 i32 i64 i32 i64)
    ;;Finished
  )

  (func (export "linkspan:plugin/router@0.1.0#route") (result i32)
    (call $clear)
    ;;Route
    (i32.const 1024))

  (func (export "linkspan:plugin/request-rewriter@0.1.0#on-request") (result i32)
    (call $clear)
    ;;OnRequest
    (i32.const 1024))

  ;; Whoever is asked for a deed has the body passed through, too.
  (func (export "linkspan:plugin/response-rewriter@0.1.0#on-response") (result i32)
    (call $clear)
    ;;OnResponse
    (if (call $asked) (then (return (call $list (i32.const 520) (i32.const 1)))))
    (i32.const 1024))

  ;; Of a length that nothing else has.
  (func (export "linkspan:plugin/handover@0.1.0#save") (result i32)
    (call $clear)
    ;;Save
    (call $list (i32.const 4096) (i32.const 77)))

  (func (export "linkspan:plugin/handover@0.1.0#restore") (param i32 i32) (result i32)
    (call $clear)
    ;;Restore
    (i32.const 1024))

  (func (export "linkspan:plugin/stream-router@0.1.0#accepted") (param i64) (result i32)
    (call $clear)
    ;;Accepted
    (i32.const 1024))

  ;; With the first byte, it is known.
  (func (export "linkspan:plugin/stream-router@0.1.0#decide") (param i64 i32 i32 i32) (result i32)
    (call $clear)
    (if (i32.eqz (local.get 2)) (then (return (i32.const 1024))))
    ;;Decide
    (call $forwarded (i32.const 536)))

  (func (export "linkspan:plugin/stream-router@0.1.0#failed") (param i64 i32 i32 i32)
    (call $clear)
    ;;Undone
  )

  (func (export "linkspan:plugin/body@0.1.0#begin") (param i64 i32)
    ;;Begin
    (call $clear))

  (func (export "linkspan:plugin/body@0.1.0#transform") (param i64 i32 i32) (result i32)
    ;;Transform
    (call $output (local.get 1) (local.get 2) (i32.const 0)))

  (func (export "linkspan:plugin/body@0.1.0#finish") (param i64) (result i32)
    ;;Finish
    (call $output (i32.const 0) (i32.const 0) (i32.const 0)))

  (func (export "linkspan:plugin/body@0.1.0#abandon") (param i64)
    ;;Abandon
    (call $clear))
)
