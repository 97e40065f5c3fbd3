/** A RocketMQ client: explicit about what was stored, asynchronous, small. */
export { connect, type Client, type ConnectOptions } from './client.js'
export type {
  ConsumerOptions,
  DrainReport,
  PushConsumer,
  RunOptions,
  Sql,
  Subscriptions,
} from './consumer.js'
export {
  BrokerFailedError,
  BusyError,
  ClosedError,
  DeniedError,
  InvalidArgumentError,
  OxmqError,
  ProtocolError,
  RejectedError,
  RouteNotFoundError,
  TimeoutError,
  UnavailableError,
  type ErrorCode,
} from './error.js'
export { setLogger, type LogLevel, type LogRecord } from './log.js'
export type { Delivery, Message, MessageQueue, Receipt } from './message.js'
export type { Producer, ProducerOptions, SendOptions } from './producer.js'
