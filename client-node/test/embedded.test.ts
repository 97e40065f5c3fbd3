/** The embedded broker: its time, its store, and how it refuses. Not for other clusters. */
import { mkdtemp, rm } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BrokerFailedError, connect, RouteNotFoundError } from 'oxmq'
import { DevBroker } from 'oxmq/testing'
import { expect, test } from 'vitest'
import { fromFirst, next, send, take } from './support/server.js'

const TWO_HOURS_MS = 7_200_000

test('two_hours_of_delay_pass_in_milliseconds', async () => {
  await using broker = await DevBroker.start()
  await using client = await connect(broker.nameServer)
  const producer = await client.producer('p')
  const consumer = await fromFirst(client, 'g', 'later').start()
  const before = broker.now()!
  await producer.send({ topic: 'later', body: 'in two hours', delayLevel: 18 })
  await broker.advance(TWO_HOURS_MS)
  expect(broker.now()! - before).toBeGreaterThanOrEqual(TWO_HOURS_MS)
  expect((await next(consumer)).text()).toBe('in two hours')
})

test('a_message_comes_at_its_time_unless_it_was_taken_back', async () => {
  await using broker = await DevBroker.start({ settings: { recallMessageEnable: true } })
  await using client = await connect(broker.nameServer)
  const producer = await client.producer('p')
  const consumer = await fromFirst(client, 'g', 'timed').start()
  const at = new Date(broker.now()! + TWO_HOURS_MS)
  await producer.send({ topic: 'timed', body: 'in a day', delayMs: 86_400_000 })
  await producer.send({ topic: 'timed', body: 'at', deliverAt: at })
  const receipt = await producer.send({ topic: 'timed', body: 'never', deliverAt: at })
  await producer.recall(receipt.recallHandle!)
  await broker.advance(TWO_HOURS_MS + 1_000)
  expect((await next(consumer)).text()).toBe('at')
  await broker.advance(86_400_000)
  expect((await next(consumer)).text()).toBe('in a day')
  await expect(producer.recall('nonsense')).rejects.toThrow(/recallHandle/)
  const both = { topic: 'timed', body: 'x', delayMs: 1, delayLevel: 1 }
  await expect(producer.send(both)).rejects.toThrow(/one of/)
})

test('a_retry_delay_passes_when_the_clock_is_moved', async () => {
  await using broker = await DevBroker.start()
  await using client = await connect(broker.nameServer)
  const producer = await client.producer('p')
  const consumer = await fromFirst(client, 'g', 'again').start()
  await producer.send({ topic: 'again', body: 'x' })
  await (await next(consumer)).nack(TWO_HOURS_MS)
  await broker.advance(TWO_HOURS_MS)
  expect((await next(consumer)).reconsumeTimes).toBe(1)
})

test('a_given_store_stays_and_a_temporary_one_goes', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'oxmq-node-'))
  const store = join(folder, 'store')
  try {
    for (const ending of ['stop', 'kill'] as const) {
      const first = await DevBroker.start({ store })
      const client = await connect(first.nameServer)
      const sent = await send(await client.producer('p'), ending, 'k', 5)
      await client.close()
      await first[ending]()

      await using second = await DevBroker.start({ store })
      await using again = await connect(second.nameServer)
      expect(await take(fromFirst(again, 'g', ending), 5)).toEqual(sent)
    }
  } finally {
    await rm(folder, { recursive: true })
  }
  const temporary = await DevBroker.start()
  expect(existsSync(temporary.store)).toBe(true)
  await temporary.stop()
  expect(existsSync(temporary.store)).toBe(false)
  expect(temporary.now()).toBeUndefined()
})

test('a_second_broker_on_the_same_store_is_refused', async () => {
  await using broker = await DevBroker.start()
  const error: unknown = await DevBroker.start({ store: broker.store }).catch((error) => error)
  expect(error).toBeInstanceOf(BrokerFailedError)
  expect(error).toMatchObject({ code: 'BROKER_FAILED', operation: 'start broker' })
  expect((error as Error).message).toContain(broker.store)
})

test('a_setting_that_does_not_exist_is_refused', async () => {
  const started = DevBroker.start({ settings: { autoCreateTopicEnabled: false } })
  await expect(started).rejects.toThrow('autoCreateTopicEnable')
})

test('a_topic_that_nobody_made_has_no_route', async () => {
  await using broker = await DevBroker.start({ settings: { autoCreateTopicEnable: false } })
  await using client = await connect(broker.nameServer)
  const producer = await client.producer('p', { retries: 0 })
  const sent = producer.send({ topic: 'unknown', body: 'x' }, { timeoutMs: 1_000 })
  const error: unknown = await sent.catch((error: unknown) => error)
  expect(error).toBeInstanceOf(RouteNotFoundError)
  expect(error).toMatchObject({
    name: 'RouteNotFoundError',
    code: 'ROUTE_NOT_FOUND',
    topic: 'unknown',
    operation: 'send',
    stored: 'no',
  })
  expect((error as RouteNotFoundError).hint).toBeTypeOf('string')
})
