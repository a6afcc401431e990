//! An allocator that knows how many bytes of its thread are in use, and were at most. Memory that
//! one thread takes and another gives back is counted wrong: measure what stays in one thread.

#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// To be the `#[global_allocator]` of a test binary.
pub struct Counting;

thread_local! {
    static IN_USE: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let now = IN_USE.with(|in_use| {
        in_use.set(in_use.get() + bytes);
        in_use.get()
    });
    MOST.with(|most| most.set(most.get().max(now)));
}

// SAFETY: everything is the system's allocator; counting touches constant-initialised cells.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(at, layout) }
    }
}

/// What this thread took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// At most at one time, above what was in use before.
    pub most: isize,
    /// In the end, above what was in use before.
    pub kept: isize,
}

/// Does something and says what it took.
pub fn taken<T>(act: impl FnOnce() -> T) -> (T, Taken) {
    let before = IN_USE.with(Cell::get);
    MOST.with(|most| most.set(before));
    let done = act();
    let taken = Taken { most: MOST.with(Cell::get) - before, kept: IN_USE.with(Cell::get) - before };
    (done, taken)
}
