/** The log of the process's clients and embedded brokers. */
import { hub } from './loop.js'

export type LogLevel = 'error' | 'warn' | 'info' | 'debug' | 'trace'

/** One line of the log. */
export interface LogRecord {
  level: LogLevel
  /** The part of the library that says it. */
  target: string
  message: string
}

/**
 * Hands the log to `logger`, from `level` up. Without one, nothing is logged. There is one logger
 * in a process; a logger that is too slow misses lines.
 */
export function setLogger(
  logger: ((record: LogRecord) => void) | undefined,
  level: LogLevel = 'info',
): void {
  const listener = (level: string, target: string, message: string): void =>
    logger?.({ level: level as LogLevel, target, message })
  hub.setLog(level, logger && listener)
}
