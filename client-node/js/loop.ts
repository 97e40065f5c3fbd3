/**
 * This thread's end of the native half: calls go in by tag, their outcomes come out in batches.
 *
 * One kick of the event loop settles every promise whose outcome has come since the last one. The
 * kick does not keep the process running; pending calls and waiting consumers do.
 */
import { makeError } from './error.js'
import { native, type Detail, type ReceiptFields } from './native.js'

/** A call whose outcome is awaited. */
export interface Call {
  /** It was a send, and the message is stored. */
  stored?(receipt: ReceiptFields): void
  /** It went well; `tag` fetches what it made. */
  done?(tag: number, detail: Detail | undefined): void
  failed(error: Error): void
}

/** Slots before the first record: how many follow, and whether there is more to drain. */
const HEAD = 2
/** Slots of a record; see `Hub::drain`. */
const STRIDE = 9
const RECORDS = 512
const KIND_STORED = 0
const KIND_DONE = 1
const STATUS = ['Stored', 'FlushDiskTimeout', 'FlushSlaveTimeout', 'SlaveNotAvailable']

const numbers = new Float64Array(HEAD + STRIDE * RECORDS)
const text = Buffer.alloc(64 * 1024)
const calls = new Map<number, Call>()
const waiting = new Set<() => void>()
let nextTag = 1

export const hub = new native.Hub(kick)

/** Notes a call; pass the tag to the native half. */
export function begin(call: Call): number {
  if (calls.size === 0) hold()
  const tag = nextTag++
  calls.set(tag, call)
  return tag
}

/** The native half did not take the call. */
export function forget(tag: number): void {
  if (calls.delete(tag) && calls.size === 0) release()
}

/** Begins a call that makes or returns something, and promises it. */
export function request<T>(
  start: (tag: number) => void,
  finish: (tag: number, detail: Detail | undefined) => T,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const done = (tag: number, detail: Detail | undefined): void => {
      try {
        resolve(finish(tag, detail))
      } catch (error) {
        reject(error)
      }
    }
    const tag = begin({ done, failed: reject })
    try {
      start(tag)
    } catch (error) {
      forget(tag)
      reject(error)
    }
  })
}

/** Calls `wake` at every kick, and keeps the process running, until {@link endWait}. */
export function beginWait(wake: () => void): void {
  if (waiting.has(wake)) return
  waiting.add(wake)
  hold()
}

export function endWait(wake: () => void): void {
  if (waiting.delete(wake)) release()
}

function kick(): void {
  do {
    hub.drain(numbers, text)
    settle(numbers[0]!)
  } while (numbers[1] !== 0)
  for (const wake of waiting) wake()
}

function settle(count: number): void {
  let at = HEAD
  let textAt = 0
  for (let record = 0; record < count; record++, at += STRIDE) {
    const tag = numbers[at]!
    const kind = numbers[at + 1]!
    const detail = kind > KIND_DONE ? (hub.detail() ?? undefined) : undefined
    const call = calls.get(tag)
    if (call !== undefined) forget(tag)
    if (kind === KIND_STORED) {
      const receipt = readReceipt(at, textAt)
      textAt += numbers[at + 6]! + numbers[at + 7]! + numbers[at + 8]!
      call?.stored?.(receipt)
    } else if (detail?.error != null) {
      call?.failed(makeError(detail.error))
    } else if (detail?.receipt != null) {
      call?.stored?.(detail.receipt)
    } else {
      call?.done?.(tag, detail)
    }
  }
}

function readReceipt(at: number, textAt: number): ReceiptFields {
  const idEnd = textAt + numbers[at + 6]!
  const offsetIdEnd = idEnd + numbers[at + 7]!
  return {
    messageId: text.toString('latin1', textAt, idEnd),
    offsetMessageId: text.toString('latin1', idEnd, offsetIdEnd),
    brokerName: text.toString('utf8', offsetIdEnd, offsetIdEnd + numbers[at + 8]!),
    queueId: numbers[at + 3]!,
    queueOffset: numbers[at + 4]!,
    status: STATUS[numbers[at + 2]!]!,
    attempts: numbers[at + 5]!,
  }
}

/** The longest time that a timer takes: about 25 days. */
const LONG_MS = 2 ** 31 - 1
let holders = 0
let timer: NodeJS.Timeout | undefined

/** Keeps the process running: somebody waits. */
function hold(): void {
  timer ??= setInterval(() => {}, LONG_MS)
  if (holders++ === 0) timer.ref()
}

function release(): void {
  if (--holders === 0) timer?.unref()
}
