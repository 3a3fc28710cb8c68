(module
  ;;IMPORTS
  (memory (export "memory") 16)
  (global $heap (mut i32) (i32.const 262144))
  (global $state (mut i64) (i64.const 0x2545f4914f6cdd1d))
  (global $bucket (mut i32) (i32.const 0))
  (global $left (mut i32) (i32.const 0))
  (data (i32.const 512) "x-seed")
  (data (i32.const 520) "calls")
  (data (i32.const 528) "a")
  (data (i32.const 536) "tcps")
  (data (i32.const 544) "outcomes")
  (data (i32.const 552) "streams")
  (data (i32.const 560) "saves")
  (data (i32.const 568) "restores")
  ;; Texts of 16 bytes each, which often mean something.
  (data (i32.const 4096) ";;TEXTS")

  (func $room (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (global.set $heap (i32.and (i32.add (global.get $heap) (i32.const 15)) (i32.const -16)))
    (global.get $heap)
    (global.set $heap (i32.add (global.get $heap) (local.get 3))))

  (func $wide (result i64)
    (global.set $state (i64.xor (global.get $state) (i64.shl (global.get $state) (i64.const 13))))
    (global.set $state (i64.xor (global.get $state) (i64.shr_u (global.get $state) (i64.const 7))))
    (global.set $state (i64.xor (global.get $state) (i64.shl (global.get $state) (i64.const 17))))
    (i64.mul (global.get $state) (i64.const 0x2545f4914f6cdd1d)))

  ;; The high bits, as the low ones are not as random.
  (func $any (result i32)
    (i32.wrap_i64 (i64.shr_u (call $wide) (i64.const 32))))

  (func $below (param i32) (result i32)
    (i32.rem_u (call $any) (local.get 0)))

  ;; Once in so many times.
  (func $rarely (param i32) (result i32)
    (i32.eqz (call $below (local.get 0))))

  ;; A number of a case: seldom one that does not exist.
  (func $case (param i32) (result i32)
    (if (call $rarely (i32.const 65536)) (then (return (call $any))))
    (call $below (local.get 0)))

  (func $number (result i32)
    (if (call $rarely (i32.const 4)) (then (return (call $any))))
    (call $below (i32.const 300)))

  ;; Where a text is: mostly one of those above, seldom random bytes or nowhere.
  (func $at (result i32)
    (if (call $rarely (i32.const 65536)) (then (return (call $any))))
    (if (call $rarely (i32.const 16384)) (then (return (call $below (i32.const 1000000)))))
    (i32.add (i32.const 4096) (i32.shl (call $below (i32.const ;;COUNT)) (i32.const 4))))

  ;; How long it is: mostly one of the length of those above.
  (func $length (result i32)
    (if (call $rarely (i32.const 65536)) (then (return (call $any))))
    (if (call $rarely (i32.const 8)) (then (return (call $below (i32.const 200)))))
    (i32.const 16))

  (func $handle (result i32)
    (if (call $rarely (i32.const 16384)) (then (return (call $number))))
    (global.get $bucket))

  (func $call (param i32)
    (global.set $heap (i32.const 262144))
    ;;CALLS
  )

  ;; A call of the host has come back. Those that end the guest are not counted.
  (func $counted
    (call $count (i32.const 520) (i32.const 5) (i64.const 1)))

  ;; What comes from outside makes what follows differ from what an instance before has done.
  (func $mix (param i64)
    (global.set $state (i64.or (i64.const 1) (i64.xor (global.get $state) (local.get 0)))))

  ;; Host calls: of the functions from this one on, of so many of them, and so many calls.
  (func $calls (param i32 i32 i32)
    (global.set $left (local.get 2))
    (loop
      (call $call (i32.add (local.get 0) (call $below (local.get 1))))
      (global.set $left (i32.sub (global.get $left) (i32.const 1)))
      (br_if 0 (global.get $left))))

  ;; Those that can be made about a request. Who is probed before it serves is asked for nothing.
  (func $of_request
    (call $header (i32.const 512) (i32.const 6) (i32.const 2048))
    (if (i32.eqz (i32.load8_u (i32.const 2048))) (then (return)))
    (call $mix (i64.load (i32.load (i32.const 2052))))
    (call $calls (i32.const 0) (i32.const ;;REQUEST) (i32.const ;;BATCH)))

  ;; Those that can be made about a TCP connection.
  (func $of_stream
    (call $count (i32.const 552) (i32.const 7) (i64.const 1))
    (call $calls (i32.const ;;FROM) (i32.const ;;STREAM) (i32.const ;;FEW)))

  ;; Those that can be made at any time.
  (func $of_nothing
    (call $calls (i32.const ;;FROM) (i32.const ;;FREE) (i32.const ;;FEW)))

  (func $text (param i32)
    (i32.store (local.get 0) (call $at))
    (i32.store offset=4 (local.get 0) (call $length)))

  (func $status (result i32)
    (if (call $rarely (i32.const 8)) (then (return (call $any))))
    (i32.add (i32.const 200) (call $below (i32.const 400))))

  ;; Fields or edits from 16384 on, of so many bytes each.
  (func $list (param i32) (result i32)
    (local i32 i32)
    (local.set 1 (call $below (i32.const 4)))
    (local.set 2 (i32.const 0))
    (loop
      (i32.store8 (i32.add (i32.const 16384) (i32.mul (local.get 2) (i32.const 20)))
        (call $case (i32.const 7)))
      (if (i32.eq (local.get 0) (i32.const 16))
        (then (call $text (i32.add (i32.const 16384) (i32.shl (local.get 2) (i32.const 4))))
          (call $text (i32.add (i32.const 16392) (i32.shl (local.get 2) (i32.const 4)))))
        (else (call $text (i32.add (i32.const 16388) (i32.mul (local.get 2) (i32.const 20))))
          (call $text (i32.add (i32.const 16396) (i32.mul (local.get 2) (i32.const 20))))))
      (local.set 2 (i32.add (local.get 2) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get 2) (i32.const 4))))
    (local.get 1))

  (func (export "linkspan:plugin/lifecycle@0.1.0#configure") (param i32 i32) (result i32)
    (call $count (i32.const 520) (i32.const 5) (i64.const 0))
    (call $count (i32.const 544) (i32.const 8) (i64.const 0))
    (call $count (i32.const 552) (i32.const 7) (i64.const 0))
    (call $count (i32.const 560) (i32.const 5) (i64.const 0))
    (call $count (i32.const 568) (i32.const 8) (i64.const 0))
    (call $open (i32.const 528) (i32.const 1) (i32.const 2048))
    (global.set $bucket (i32.load (i32.const 2052)))
    (i32.store8 (i32.const 1024) (i32.const 0))
    (i32.const 1024))

  (func (export "linkspan:plugin/router@0.1.0#route") (result i32)
    (call $of_request)
    (i32.store8 (i32.const 1024) (call $case (i32.const 4)))
    (if (call $rarely (i32.const 2)) (then (i32.store8 (i32.const 1024) (i32.const 0))))
    (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 1))
      (then
        (i32.store8 (i32.const 1028) (call $case (i32.const 2)))
        (call $text (i32.const 1032))
        (i32.store8 (i32.const 1040) (call $case (i32.const 2)))
        (call $text (i32.const 1044))
        (i32.store8 (i32.const 1052) (call $case (i32.const 2)))
        (call $text (i32.const 1056)))
      (else
        (i32.store16 (i32.const 1028) (call $status))
        (call $text (i32.const 1032))
        (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 2))
          (then
            (i32.store (i32.const 1032) (i32.const 16384))
            (i32.store (i32.const 1036) (call $list (i32.const 16)))
            (call $text (i32.const 1040))))))
    (i32.const 1024))

  (func $edits (result i32)
    (call $of_request)
    (i32.store (i32.const 1024) (i32.const 16384))
    (i32.store (i32.const 1028) (call $list (i32.const 20)))
    (i32.const 1024))

  (func (export "linkspan:plugin/request-rewriter@0.1.0#on-request") (result i32)
    (call $edits))
  (func (export "linkspan:plugin/response-rewriter@0.1.0#on-response") (result i32)
    (call $edits))

  (func (export "linkspan:plugin/balancer@0.1.0#update") (param i32 i32 i32)
    (i32.store (i32.const 3072) (i32.load (local.get 1))))
  (func (export "linkspan:plugin/balancer@0.1.0#changed") (param i32 i32 i32))
  (func (export "linkspan:plugin/balancer@0.1.0#pick") (param i32 i32 i32 i32 i64) (result i32)
    (call $of_request)
    (i32.store8 (i32.const 1024) (call $case (i32.const 3)))
    (i32.store (i32.const 1032) (i32.load (i32.const 3072)))
    (if (call $rarely (i32.const 8)) (then (i32.store (i32.const 1032) (call $any))))
    (i64.store (i32.const 1040) (call $wide))
    (i32.const 1024))

  (func $output (result i32)
    (call $of_request)
    (call $text (i32.const 1024))
    (i32.store8 (i32.const 1032) (call $below (i32.const 2)))
    (i32.const 1024))

  (func (export "linkspan:plugin/body@0.1.0#begin") (param i64 i32)
    (call $of_request))
  (func (export "linkspan:plugin/body@0.1.0#transform") (param i64 i32 i32) (result i32)
    (call $output))
  (func (export "linkspan:plugin/body@0.1.0#finish") (param i64) (result i32)
    (call $output))
  (func (export "linkspan:plugin/body@0.1.0#abandon") (param i64)
    (call $of_request))

  ;; What became of choices, whose tokens are random.
  (func $outcome (param i64)
    (call $count (i32.const 544) (i32.const 8) (i64.const 1))
    (call $mix (local.get 0))
    (call $of_nothing))
  (func (export "linkspan:plugin/outcomes@0.1.0#chosen") (param i32 i32 i64)
    (call $outcome (local.get 2)))
  (func (export "linkspan:plugin/outcomes@0.1.0#connected") (param i32 i32 i64 i64)
    (call $outcome (local.get 2)))
  (func (export "linkspan:plugin/outcomes@0.1.0#failed") (param i32 i32 i64 i32)
    (call $outcome (local.get 2)))
  (func (export "linkspan:plugin/outcomes@0.1.0#finished") (param i32 i32 i64 i32 i64)
    (call $outcome (local.get 2)))

  ;; Every fourth takes no state.
  (func (export "linkspan:plugin/handover@0.1.0#save") (result i32)
    (call $count (i32.const 560) (i32.const 5) (i64.const 1))
    (call $of_nothing)
    (call $text (i32.const 1024))
    (i32.const 1024))
  (func (export "linkspan:plugin/handover@0.1.0#restore") (param i32 i32) (result i32)
    (call $count (i32.const 568) (i32.const 8) (i64.const 1))
    (if (i32.ge_u (local.get 1) (i32.const 8)) (then (call $mix (i64.load (local.get 0)))))
    (call $of_nothing)
    (i32.store8 (i32.const 1024) (call $rarely (i32.const 4)))
    (call $text (i32.const 1028))
    (i32.const 1024))

  ;; Where a TCP connection goes: mostly to a cluster that there is.
  (func $upstream (param i32)
    (i32.store8 (local.get 0) (call $case (i32.const 2)))
    (call $text (i32.add (local.get 0) (i32.const 4)))
    (if (call $rarely (i32.const 4)) (then (return)))
    (i32.store8 (local.get 0) (i32.const 0))
    (i32.store offset=4 (local.get 0) (i32.const 536))
    (i32.store offset=8 (local.get 0) (i32.const 4)))

  ;; Something that may be there.
  (func $some (param i32)
    (i32.store8 (local.get 0) (call $case (i32.const 2)))
    (call $text (i32.add (local.get 0) (i32.const 4))))
  (func $some_number (param i32)
    (i32.store8 (local.get 0) (call $case (i32.const 2)))
    (i32.store offset=4 (local.get 0) (call $number)))

  ;; Who is probed has the number 0.
  (func (export "linkspan:plugin/stream-router@0.1.0#accepted") (param i64) (result i32)
    (i32.store8 (i32.const 1024) (i32.const 0))
    (if (i64.eqz (local.get 0)) (then (return (i32.const 1024))))
    (call $mix (i64.mul (local.get 0) (i64.const 0x2545f4914f6cdd1d)))
    (call $of_stream)
    (call $some (i32.const 1024))
    (i32.const 1024))
  (func (export "linkspan:plugin/stream-router@0.1.0#decide") (param i64 i32 i32 i32) (result i32)
    (i32.store8 (i32.const 1024) (i32.const 0))
    (if (i32.lt_u (local.get 2) (i32.const 8)) (then (return (i32.const 1024))))
    (call $mix (i64.load (local.get 1)))
    (call $of_stream)
    (i32.store8 (i32.const 1024) (call $case (i32.const 3)))
    (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 2))
      (then (call $some (i32.const 1028)) (return (i32.const 1024))))
    (call $upstream (i32.const 16384))
    (call $upstream (i32.const 16396))
    (i32.store (i32.const 1028) (i32.const 16384))
    (i32.store (i32.const 1032) (call $below (i32.const 3)))
    (call $some (i32.const 1036))
    (call $some (i32.const 1048))
    (call $some_number (i32.const 1060))
    (call $some_number (i32.const 1068))
    (i32.const 1024))
  (func (export "linkspan:plugin/stream-router@0.1.0#failed") (param i64 i32 i32 i32)
    (call $of_stream))
)
