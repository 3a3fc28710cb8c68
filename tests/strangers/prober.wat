(module
  ;;IMPORTS
  (memory (export "memory") 4)
  (global $heap (mut i32) (i32.const 65536))
  (data (i32.const 512) "/etc/passwd")
  (data (i32.const 528) "0123456789abcdef")

  (func $room (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (global.set $heap (i32.and (i32.add (global.get $heap) (i32.const 15)) (i32.const -16)))
    (global.get $heap)
    (global.set $heap (i32.add (global.get $heap) (local.get 3))))

  ;; The digit at an address.
  (func $digit (param i32) (result i32)
    (i32.sub (i32.load8_u (local.get 0)) (i32.const 48)))

  (func $hexadecimal (param i32) (result i32)
    (i32.load8_u (i32.add (i32.const 528) (i32.and (local.get 0) (i32.const 15)))))

  (func (export "linkspan:plugin/lifecycle@0.1.0#configure") (param i32 i32) (result i32)
    (local i32)
    (local.set 2 (i32.add
      (i32.mul (i32.const 100) (call $digit (local.get 0)))
      (i32.add
        (i32.mul (i32.const 10) (call $digit (i32.add (local.get 0) (i32.const 1))))
        (call $digit (i32.add (local.get 0) (i32.const 2))))))
    ;;CALLS
    (local.set 0 (i32.const 64))
    (loop
      (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
      (local.set 1 (i32.load8_u (i32.add (i32.const 2048) (local.get 0))))
      (i32.store8 (i32.add (i32.const 3072) (i32.shl (local.get 0) (i32.const 1)))
        (call $hexadecimal (i32.shr_u (local.get 1) (i32.const 4))))
      (i32.store8 (i32.add (i32.const 3073) (i32.shl (local.get 0) (i32.const 1)))
        (call $hexadecimal (local.get 1)))
      (br_if 0 (local.get 0)))
    (i32.store8 (i32.const 1024) (i32.const 1))
    (i32.store (i32.const 1028) (i32.const 3072))
    (i32.store (i32.const 1032) (i32.const 128))
    (i32.const 1024))

  (func (export "linkspan:plugin/router@0.1.0#route") (result i32)
    (i32.const 1024))
)
