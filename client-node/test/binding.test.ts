/** What is JavaScript's own: promises, signals, loops, threads, and the end of a process. */
import { execFile } from 'node:child_process'
import { createServer, type AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import {
  ClosedError,
  connect,
  InvalidArgumentError,
  OxmqError,
  setLogger,
  TimeoutError,
  UnavailableError,
  type LogRecord,
} from 'oxmq'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fromFirst, next, own, send, Server, until } from './support/server.js'

let server: Server
beforeAll(async () => {
  server = await Server.start()
})
afterAll(() => server.stop())

/** A name server that takes connections and never answers. */
async function silentServer(): Promise<{ address: string } & AsyncDisposable> {
  const sockets = new Set<{ destroy(): void }>()
  const silent = createServer((socket) => void sockets.add(socket.on('error', () => {})))
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  return {
    address: `127.0.0.1:${(silent.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => silent.close(resolve))
    },
  }
}

test('a_name_server_that_is_not_there_is_told', async () => {
  const nobody = await silentServer()
  await nobody[Symbol.asyncDispose]()
  const error: unknown = await connect(nobody.address).catch((error: unknown) => error)
  expect(error).toBeInstanceOf(UnavailableError)
  expect(error).toBeInstanceOf(OxmqError)
  expect(error).toMatchObject({ code: 'UNAVAILABLE', retryable: true })
  expect((error as Error).message).toContain(nobody.address)
  await expect(connect('nonsense')).rejects.toBeInstanceOf(InvalidArgumentError)
})

test('an_aborted_send_rejects_at_once_with_the_signals_reason', async () => {
  await using silent = await silentServer()
  await using client = await connect(silent.address)
  const producer = await client.producer('p')
  const controller = new AbortController()
  const sent = producer.send({ topic: 't', body: 'x' }, { signal: controller.signal })
  const reason = new Error('enough')
  controller.abort(reason)
  await expect(sent).rejects.toBe(reason)
  const late = producer.send({ topic: 't', body: 'x' }, { signal: controller.signal })
  await expect(late).rejects.toBe(reason)
})

test('a_send_that_nobody_answers_times_out', async () => {
  await using silent = await silentServer()
  await using client = await connect(silent.address)
  const producer = await client.producer('p')
  const start = performance.now()
  const sent = producer.send({ topic: 't', body: 'x' }, { timeoutMs: 200 })
  await expect(sent).rejects.toBeInstanceOf(TimeoutError)
  expect(performance.now() - start).toBeLessThan(2_000)
})

test('wrong_types_reject_and_do_not_throw', async () => {
  const producer = await (await server.client()).producer('p')
  for (const message of [{ topic: 't' }, { topic: 7, body: 'x' }, { topic: 't', body: 'x', tag: 7 }]) {
    const sent = producer.send(message as never)
    await expect(sent).rejects.toBeInstanceOf(InvalidArgumentError)
  }
  await producer.close()
})

test('more_sends_than_allowed_wait_for_their_turn', async () => {
  const topic = own('crowd')
  const { client } = await server.withTopic(topic)
  const producer = await client.producer('p', { maxPending: 3 })
  const controller = new AbortController()
  const { signal } = controller
  const sends = Array.from({ length: 200 }, (_, number) =>
    // The last ones wait when the signal comes, and are never sent.
    producer.send({ topic, body: String(number) }, number < 190 ? {} : { signal }),
  )
  controller.abort()
  const outcomes = await Promise.allSettled(sends)
  expect(outcomes.slice(0, 190).every(({ status }) => status === 'fulfilled')).toBe(true)
  expect(outcomes.slice(190).every(({ status }) => status === 'rejected')).toBe(true)
  await producer.close()
  expect(await server.stored(topic)).toBe(190)
})

test('closing_waits_for_sends_and_then_refuses', async () => {
  const topic = own('closing')
  await server.withTopic(topic)
  const client = await connect(server.nameServer)
  const producer = await client.producer('p')
  const sends = Array.from({ length: 100 }, () => producer.send({ topic, body: 'x' }))
  await client.close()
  expect(await Promise.all(sends)).toHaveLength(100)
  await expect(producer.send({ topic, body: 'x' })).rejects.toBeInstanceOf(ClosedError)
  await expect(client.producer('p')).rejects.toBeInstanceOf(ClosedError)
  expect(() => client.pushConsumer('g', { [topic]: '*' })).toThrow(ClosedError)
})

test('leaving_the_loop_closes_and_hands_the_rest_back', async () => {
  const topic = own('left')
  const group = own('leavers')
  const { client, producer } = await server.withTopic(topic, 1)
  await send(producer, topic, 'k', 20)
  const seen: string[] = []
  const consumer = fromFirst(client, group, topic)
  for await (const delivery of consumer) {
    seen.push(delivery.text())
    await delivery.ack()
    if (seen.length === 5) break
  }
  expect((await consumer.next()).done).toBe(true)
  expect(await server.committedByQueue(group, topic, 1)).toEqual([5])
  const report = await consumer.drain()
  expect(report).toMatchObject({ handedBack: 15, abandoned: 0 })

  const again = fromFirst(client, group, topic)
  expect((await next(again)).text()).toBe('k-5')
  await again.close()
})

test('draining_waits_for_running_handlers', async () => {
  const topic = own('drained')
  const group = own('drainers')
  const { client, producer } = await server.withTopic(topic, 1)
  await send(producer, topic, 'k', 9)
  let [running, most] = [0, 0]
  let finish = (): void => {}
  const gate = new Promise<void>((resolve) => (finish = resolve))
  const consumer = fromFirst(client, group, topic)
  const ended = consumer.run(
    async () => {
      most = Math.max(most, ++running)
      await gate
      running--
    },
    { concurrency: 3 },
  )
  await until('three handlers run', () => running === 3)
  const draining = consumer.drain(20_000)
  setImmediate(finish)
  expect(await draining).toMatchObject({ handedBack: 6, abandoned: 0 })
  await ended
  expect(most).toBe(3)
  expect(await server.committedByQueue(group, topic, 1)).toEqual([3])
})

test('a_delivery_settled_too_late_says_so', async () => {
  const topic = own('late')
  const { client, producer } = await server.withTopic(topic, 1)
  await send(producer, topic, 'k', 1)
  const consumer = fromFirst(client, own('late-ones'), topic)
  const delivery = await next(consumer)
  expect(await consumer.drain(0)).toMatchObject({ abandoned: 1 })
  await expect(delivery.ack()).rejects.toBeInstanceOf(ClosedError)
})

test('a_signal_ends_a_running_consumer', async () => {
  const topic = own('signalled')
  const { client } = await server.withTopic(topic)
  const controller = new AbortController()
  const consumer = fromFirst(client, own('signalled-ones'), topic)
  const running = consumer.run(() => {}, { signal: controller.signal })
  await consumer.start()
  controller.abort()
  await running
  expect((await consumer.next()).done).toBe(true)
})

test('a_loop_over_many_messages_lets_others_run', async () => {
  const topic = own('many')
  const { client, producer } = await server.withTopic(topic)
  const count = 5_000
  await Promise.all(Array.from({ length: count }, () => producer.send({ topic, body: 'x' })))
  const consumer = fromFirst(client, own('many-all'), topic)
  let [received, turns] = [0, 0]
  let isOver = false
  const turn = (): void => {
    turns++
    if (!isOver) setImmediate(turn)
  }
  setImmediate(turn)
  for await (const delivery of consumer) {
    await delivery.ack()
    if (++received === count) break
  }
  isOver = true
  expect(turns).toBeGreaterThan(count / 256)
})

test('a_consumer_that_cannot_start_says_why', async () => {
  const client = await server.client()
  const nothing = client.pushConsumer('g', {})
  await expect(nothing.next()).rejects.toBeInstanceOf(InvalidArgumentError)
  await expect(nothing.run(() => {})).rejects.toBeInstanceOf(InvalidArgumentError)
  await nothing.close()
})

const program = (name: string): string => fileURLToPath(new URL(`support/${name}`, import.meta.url))

test('each_thread_has_its_own_loop', async () => {
  const topic = own('threads')
  await server.withTopic(topic)
  const threads = Array.from({ length: 3 }, (_, number) => {
    const worker = new Worker(program('thread.mjs'), {
      workerData: { nameServer: server.nameServer, topic, group: own(`thread-${number}`) },
    })
    return new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject))
  })
  const received = await Promise.all(threads)
  expect(received).toEqual([300, 300, 300])
})

test('a_process_runs_as_long_as_somebody_waits', async () => {
  const topic = own('process')
  await server.withTopic(topic)
  const run = promisify(execFile)
  for (const ending of ['close', 'forget']) {
    const arguments_ = [program('process.mjs'), server.nameServer, topic, own(ending), ending]
    const { stdout } = await run(process.execPath, arguments_, { timeout: 20_000 })
    expect(stdout).toBe('sent\nreceived\nend\n')
  }
})

test('the_log_goes_to_the_applications_logger', async () => {
  const topic = own('logged')
  const { client, producer } = await server.withTopic(topic, 1)
  await send(producer, topic, 'k', 1)
  const records: LogRecord[] = []
  setLogger((record) => records.push(record), 'warn')
  try {
    const consumer = fromFirst(client, own('loggers'), topic)
    await (await next(consumer)).reject('cannot be read')
    await until('the rejection is logged', () =>
      records.some(({ level, message }) => level === 'warn' && message.includes('cannot be read')),
    )
    await consumer.close()
  } finally {
    setLogger(undefined)
  }
  expect(records.every(({ level }) => level === 'warn' || level === 'error')).toBe(true)
})
