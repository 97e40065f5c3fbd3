//! The native half of the npm package `oxmq`: numbers, texts and buffers only. What users see
//! (promises, iterators, classes, errors) is made in `js/`.
//!
//! Nothing here waits, and no task of the client ever calls into JavaScript but to ring a bell:
//!
//! ```text
//! js ── submit, settle, … (tag) ──► client tasks ──► Completions ── ring once ──► kick
//!  ▲                                                                               │
//!  └───────────── drain into numbers and text, take a frame of messages ◄──────────┘
//! ```
//!
//! Each JavaScript thread has a [`Hub`](runtime::Hub) of its own; all share one tokio runtime.

mod consumer;
mod error;
mod log;
mod message;
mod producer;
mod runtime;
mod testing;
