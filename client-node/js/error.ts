/** The fields of an {@link OxmqError}, as the native half gives them. */
export interface ErrorFields {
  code: string
  message: string
  retryable: boolean
  stored: string
  operation: string
  responseCode?: number
  topic?: string
  group?: string
  queueId?: number
  broker?: string
  address?: string
  hint?: string
  attempts: number
}

/** The codes of errors. They stay the same between releases. */
export type ErrorCode =
  | 'INVALID_ARGUMENT'
  | 'ROUTE_NOT_FOUND'
  | 'TIMEOUT'
  | 'UNAVAILABLE'
  | 'BUSY'
  | 'DENIED'
  | 'REJECTED'
  | 'PROTOCOL'
  | 'CLOSED'
  | 'BROKER_FAILED'
  | 'UNKNOWN'

/**
 * Why an operation failed. The message tells everything that is known: the operation, what it was
 * about, the cause, and what to try.
 */
export class OxmqError extends Error {
  /** A name that stays the same between releases, for instance `ROUTE_NOT_FOUND`. */
  readonly code: ErrorCode
  /** Whether the same call may succeed later without anything being changed. */
  readonly retryable: boolean
  /**
   * For a send: `no`, it is not stored, and sending again cannot duplicate it; `unknown`, it may
   * be stored, since the request left and no clear answer came back.
   */
  readonly stored: 'no' | 'unknown'
  /** What was being done, for instance `send`. */
  readonly operation: string
  /** RocketMQ's number of the answer, if there was one. */
  readonly responseCode: number | undefined
  /** The topic it is about. */
  readonly topic: string | undefined
  /** The producer or consumer group it is about. */
  readonly group: string | undefined
  /** The queue it is about. */
  readonly queueId: number | undefined
  /** The name of the broker it is about. */
  readonly broker: string | undefined
  /** The address that was spoken to. */
  readonly address: string | undefined
  /** What to try. */
  readonly hint: string | undefined
  /** How often it was tried. */
  readonly attempts: number

  constructor(fields: ErrorFields) {
    super(fields.message)
    this.name = new.target.name
    this.code = fields.code as ErrorCode
    this.retryable = fields.retryable
    this.stored = fields.stored === 'unknown' ? 'unknown' : 'no'
    this.operation = fields.operation
    this.responseCode = fields.responseCode
    this.topic = fields.topic
    this.group = fields.group
    this.queueId = fields.queueId
    this.broker = fields.broker
    this.address = fields.address
    this.hint = fields.hint
    this.attempts = fields.attempts
  }
}

/** The call itself is wrong: a name, a size or a text that RocketMQ cannot carry. */
export class InvalidArgumentError extends OxmqError {}
/** No name server knows the topic. */
export class RouteNotFoundError extends OxmqError {}
/** The time allowed is over. */
export class TimeoutError extends OxmqError {}
/** Nobody could be reached, or the broker is not serving. */
export class UnavailableError extends OxmqError {}
/** The broker asks for less load. */
export class BusyError extends OxmqError {}
/** The broker does not permit it. */
export class DeniedError extends OxmqError {}
/** The broker refused; `responseCode` says why. */
export class RejectedError extends OxmqError {}
/** The other side speaks something that is not RocketMQ's protocol. */
export class ProtocolError extends OxmqError {}
/** The client, the producer or the consumer is closed. */
export class ClosedError extends OxmqError {}
/** The embedded broker of `oxmq/testing` could not be started or stopped. */
export class BrokerFailedError extends OxmqError {}

const CLASSES: Record<ErrorCode, new (fields: ErrorFields) => OxmqError> = {
  INVALID_ARGUMENT: InvalidArgumentError,
  ROUTE_NOT_FOUND: RouteNotFoundError,
  TIMEOUT: TimeoutError,
  UNAVAILABLE: UnavailableError,
  BUSY: BusyError,
  DENIED: DeniedError,
  REJECTED: RejectedError,
  PROTOCOL: ProtocolError,
  CLOSED: ClosedError,
  BROKER_FAILED: BrokerFailedError,
  UNKNOWN: OxmqError,
}

/** The error of the class that its code asks for. */
export function makeError(fields: ErrorFields): OxmqError {
  const Class = CLASSES[fields.code as ErrorCode] ?? OxmqError
  return new Class(fields)
}

function own(code: ErrorCode, operation: string, reason: string): OxmqError {
  return makeError({
    code,
    message: `${operation}: ${reason}`,
    retryable: false,
    stored: 'no',
    operation,
    attempts: 0,
  })
}

export function closedError(operation: string, reason = 'it is closed'): OxmqError {
  return own('CLOSED', operation, reason)
}

/** An argument of a wrong type, which the native half would not take either. */
export function argumentError(operation: string, reason: unknown): OxmqError {
  if (reason instanceof OxmqError) return reason
  return own('INVALID_ARGUMENT', operation, reason instanceof Error ? reason.message : String(reason))
}
