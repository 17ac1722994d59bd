//! Kernel threads as coroutines.
//!
//! # Invariants
//! - A coroutine is resumed only by the machine's loop and suspends only into it.
//! - Its stack holds no value that owns anything outside the simulation: kernel code is `no_std` and frees nothing, so a
//!   suspended coroutine may be thrown away without unwinding.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};

use corosensei::stack::{DefaultStack, Stack};
use corosensei::{Coroutine, CoroutineResult, Yielder};

/// Bytes of a coroutine's stack: formatting a panic message in a debug build needs some.
const STACK: usize = 128 * 1024;

thread_local! {
    /// Stacks of finished simulations: mapping a stack costs more than running on it.
    static POOL: RefCell<Vec<DefaultStack>> = const { RefCell::new(Vec::new()) };
}

/// One kernel thread's execution.
pub(crate) struct Thread {
    coroutine: Option<Coroutine<(), (), (), DefaultStack>>,
    /// The address above its stack.
    top: usize,
}

thread_local! {
    /// The yielder of the coroutine that runs on this host thread, null outside.
    static YIELDER: Cell<*const Yielder<(), ()>> = const { Cell::new(std::ptr::null()) };
}

impl Thread {
    /// A coroutine that will run `body`.
    pub(crate) fn new(body: impl FnOnce() + 'static) -> std::io::Result<Thread> {
        let stack = match POOL.with_borrow_mut(Vec::pop) {
            Some(stack) => stack,
            None => DefaultStack::new(STACK)?,
        };
        let top = stack.base().get();
        let coroutine = Coroutine::with_stack(stack, move |yielder: &Yielder<(), ()>, ()| {
            YIELDER.set(yielder);
            body();
        });
        Ok(Thread { coroutine: Some(coroutine), top })
    }

    /// The address above its stack.
    pub(crate) fn stack_top(&self) -> usize {
        self.top
    }

    /// Runs it until it suspends; false if it has ended. A panic in it comes out here.
    pub(crate) fn resume(&mut self) -> bool {
        let coroutine = self.coroutine.as_mut().expect("invariant: a coroutine is taken only by drop");
        matches!(coroutine.resume(()), CoroutineResult::Yield(()))
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        let Some(mut coroutine) = self.coroutine.take() else { return };
        if !coroutine.done() {
            // SAFETY: the frames on this stack belong to kernel code, which owns nothing (module invariants); nothing
            // resumes the coroutine again, since `self` is going away.
            unsafe { coroutine.force_reset() };
        }
        POOL.with_borrow_mut(|pool| pool.push(coroutine.into_stack()));
    }
}

/// Suspends the running coroutine; returns when it is resumed.
#[inline]
pub(crate) fn suspend() {
    let yielder = YIELDER.get();
    debug_assert!(!yielder.is_null(), "suspend outside a coroutine");
    // SAFETY: `yielder` was set by the coroutine that runs now, when it started or when it last came back from here; a
    // yielder lives on its coroutine's stack for as long as that has not ended.
    let yielder = unsafe { &*yielder };
    yielder.suspend(());
    // Other coroutines ran meanwhile and set their own.
    YIELDER.set(yielder);
}
