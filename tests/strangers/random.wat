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

  ;; So many host calls as are asked for, but for those that end the guest. Who is probed before it
  ;; serves is asked for nothing.
  (func $calls
    (call $header (i32.const 512) (i32.const 6) (i32.const 2048))
    (if (i32.eqz (i32.load8_u (i32.const 2048))) (then (return)))
    (call $count (i32.const 520) (i32.const 5) (i64.const ;;BATCH))
    (global.set $left (i32.const ;;BATCH))
    (loop
      (call $call (call $below (i32.const ;;FUNCTIONS)))
      (global.set $left (i32.sub (global.get $left) (i32.const 1)))
      (br_if 0 (global.get $left))))

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
    (call $open (i32.const 528) (i32.const 1) (i32.const 2048))
    (global.set $bucket (i32.load (i32.const 2052)))
    (i32.store8 (i32.const 1024) (i32.const 0))
    (i32.const 1024))

  (func (export "linkspan:plugin/router@0.1.0#route") (result i32)
    (global.set $heap (i32.const 262144))
    (call $header (i32.const 512) (i32.const 6) (i32.const 2048))
    (global.set $state (i64.or (i64.const 1) (i64.xor (global.get $state)
      (i64.load (i32.load (i32.const 2052))))))
    (call $calls)
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
    (call $calls)
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
    (call $calls)
    (i32.store8 (i32.const 1024) (call $case (i32.const 3)))
    (i32.store (i32.const 1032) (i32.load (i32.const 3072)))
    (if (call $rarely (i32.const 8)) (then (i32.store (i32.const 1032) (call $any))))
    (i64.store (i32.const 1040) (call $wide))
    (i32.const 1024))

  (func $output (result i32)
    (call $calls)
    (call $text (i32.const 1024))
    (i32.store8 (i32.const 1032) (call $below (i32.const 2)))
    (i32.const 1024))

  (func (export "linkspan:plugin/body@0.1.0#begin") (param i64 i32)
    (call $calls))
  (func (export "linkspan:plugin/body@0.1.0#transform") (param i64 i32 i32) (result i32)
    (call $output))
  (func (export "linkspan:plugin/body@0.1.0#finish") (param i64) (result i32)
    (call $output))
  (func (export "linkspan:plugin/body@0.1.0#abandon") (param i64)
    (call $calls))
)
