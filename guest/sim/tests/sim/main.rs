//! The simulator's tests are one program: each subject has a file, and all use one bench.
//!
//! # Invariants
//! - A simulation belongs to the thread that runs it, and the kernel keeps nothing outside of its simulation: tests of one
//!   process do not meet.

mod bench;

mod boot_state;
mod class_caps;
mod class_entry;
mod class_example;
mod class_fss;
mod class_fx_rt;
mod class_priocntl;
mod class_sdc;
mod class_tables;
mod class_ts;
mod class_zone_caps;
mod clock_tick_mp;
mod cpu_bind;
mod cpu_cmt;
mod cpu_idle;
mod cpu_lgrp;
mod cpu_online;
mod cpu_pause;
mod cpu_power;
mod cpu_pset;
mod deadman;
mod determinism;
mod disp_place;
mod dispq_model;
mod i1532;
mod intr_softcall;
mod intr_storm;
mod intr_threads;
mod intr_xcall;
mod kernel_loops;
mod kmem;
mod kstat;
mod measure;
mod mstate;
mod net;
mod probe;
mod requeue;
mod resched;
mod spin;
mod streams_ask;
mod streams_close;
mod streams_head;
mod streams_msg;
mod streams_mux;
mod streams_order;
mod streams_perimeter;
mod streams_queue;
mod streams_service;
mod stress;
mod sync_inherit;
mod sync_mutex;
mod sync_rwlock;
mod sync_try;
mod sync_wait;
mod taskq;
mod time_callout;
mod time_clock;
mod time_cyclic;
mod time_heap;
mod time_rounding;
mod ts_table;
mod wakeups;
mod whole_seams;
mod whole_stress;
mod zfs;
