/** What an application is promised, whatever server is behind. The names are the same as in Rust. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { InvalidArgumentError, type MessageQueue, type PushConsumer, RejectedError } from 'oxmq'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fromFirst, next, own, QUEUES, send, Server, take, until } from './support/server.js'

let server: Server
beforeAll(async () => {
  server = await Server.start()
})
afterAll(() => server.stop())

test('a_message_comes_back_whole', async () => {
  const topic = own('whole')
  const { client, producer } = await server.withTopic(topic)
  const receipt = await producer.send({
    topic,
    body: 'été 中文 🚀',
    tag: 'paid',
    keys: ['order-42', 'invoice-7'],
    properties: { region: 'île-de-france', __proto__x: 'y' },
    flag: 9,
  })
  expect(receipt).toMatchObject({ status: 'Stored', queueOffset: 0, attempts: 1 })

  const consumer = fromFirst(client, own('whole-all'), topic)
  const delivery = await next(consumer)
  expect(delivery.topic).toBe(topic)
  expect(delivery.text()).toBe('été 中文 🚀')
  expect(delivery.body.equals(Buffer.from('été 中文 🚀'))).toBe(true)
  expect(delivery.tag).toBe('paid')
  expect(delivery.keys).toEqual(['order-42', 'invoice-7'])
  expect(delivery.properties).toMatchObject({ region: 'île-de-france', __proto__x: 'y' })
  expect(delivery.flag).toBe(9)
  expect(delivery.messageId).toBe(receipt.messageId)
  expect(delivery.offsetMessageId).toBe(receipt.offsetMessageId)
  expect(delivery.queue).toEqual(receipt.queue)
  expect(delivery.queueOffset).toBe(receipt.queueOffset)
  expect(delivery.reconsumeTimes).toBe(0)
  expect(delivery.bornHost).toMatch(/^127\.0\.0\.1:\d+$/)
  expect(Math.abs(delivery.storeTimestamp - Date.now())).toBeLessThan(60_000)
  expect(Math.abs(delivery.bornTimestamp - Date.now())).toBeLessThan(60_000)
  await delivery.ack()
  await consumer.close()
})

test('a_topic_comes_to_be_with_its_first_message', async () => {
  const topic = own('comes-to-be')
  const client = await server.client()
  const producer = await client.producer('promises')
  const sent = await send(producer, topic, 'new', 3)
  const consumer = fromFirst(client, own('new-all'), topic)
  expect(await take(consumer, 3)).toEqual(sent)
  await consumer.close()
})

test('sends_use_every_queue_in_order', async () => {
  const topic = own('spread')
  const { producer } = await server.withTopic(topic)
  const offsets = new Map<number, number[]>()
  for (let number = 0; number < 5 * QUEUES; number++) {
    const { queue, queueOffset } = await producer.send({ topic, body: String(number) })
    offsets.set(queue.queueId, [...(offsets.get(queue.queueId) ?? []), queueOffset])
  }
  expect(offsets.size).toBe(QUEUES)
  for (const of of offsets.values()) expect(of).toEqual([0, 1, 2, 3, 4])
})

test('a_queue_can_be_chosen', async () => {
  const topic = own('chosen')
  const { producer } = await server.withTopic(topic)
  const first = await producer.send({ topic, body: 'where?' })
  const queue = { ...first.queue, queueId: 2 }
  for (let time = 0; time < 3; time++) {
    const receipt = await producer.send({ topic, body: 'here' }, { queue })
    expect(receipt.queue).toEqual(queue)
  }
  const shard = async (): Promise<MessageQueue> =>
    (await producer.send({ topic, body: 'with its like' }, { shard: 'customer-7' })).queue
  expect(await shard()).toEqual(await shard())
})

test('large_bodies_come_back_whole', async () => {
  const topic = own('bulk')
  const { client, producer } = await server.withTopic(topic)
  const body = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, at) => at / 7))
  await producer.send({ topic, body })
  const consumer = fromFirst(client, own('bulk-all'), topic)
  const delivery = await next(consumer)
  expect(delivery.body.equals(body)).toBe(true)
  expect(delivery.copyBody().equals(body)).toBe(true)
  await delivery.ack()
  await consumer.close()
})

test('a_oneway_send_arrives', async () => {
  const topic = own('oneway')
  const { producer } = await server.withTopic(topic)
  await producer.sendOneway({ topic, body: 'no answer wanted' })
  await until('the message is stored', async () => (await server.stored(topic)) === 1)
})

test('delayed_messages_arrive_later', async () => {
  const topic = own('later')
  const { client, producer } = await server.withTopic(topic)
  const consumer = await fromFirst(client, own('later-all'), topic).start()
  const start = performance.now()
  await producer.send({ topic, body: 'in a second', key: 'k', delayLevel: 1 })
  const delivery = await next(consumer)
  expect(delivery.keys).toEqual(['k'])
  expect(delivery.topic).toBe(topic)
  // The broker's clock decides, to its own precision.
  expect(performance.now() - start).toBeGreaterThan(800)
  await delivery.ack()
  await consumer.close()
})

test('bad_names_are_refused_before_they_are_sent', async () => {
  const producer = await (await server.client()).producer('promises')
  for (const topic of ['', '../up', 'a b', 'SCHEDULE_TOPIC_XXXX']) {
    const error: unknown = await producer.send({ topic, body: 'x' }).catch((error: unknown) => error)
    expect(error, topic).toBeInstanceOf(InvalidArgumentError)
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', stored: 'no', retryable: false })
  }
})

test('tags_filter', async () => {
  const topic = own('tagged')
  const { client, producer } = await server.withTopic(topic)
  const wanted = new Set<string>()
  for (let number = 0; number < 18; number++) {
    const tag = ['paid', 'open', 'refunded'][number % 3]!
    const key = `${tag}-${number}`
    await producer.send({ topic, body: 'x', tag, key })
    if (tag !== 'open') wanted.add(key)
  }
  const consumer = fromFirst(client, own('tagged-some'), topic, 'paid || refunded')
  expect(await take(consumer, 12)).toEqual(wanted)
  await consumer.close()
})

test('conditions_filter', async () => {
  const topic = own('priced')
  const { client, producer } = await server.withTopic(topic)
  const wanted = new Set<string>()
  for (let price = 0; price < 18; price++) {
    const color = ['red', 'green', 'blue'][price % 3]!
    const key = `price-${price}`
    await producer.send({ topic, body: 'x', tag: color, key, properties: { price: `${price}` } })
    if (price > 9 && color !== 'green') wanted.add(key)
  }
  const condition = { sql: "price > 9 AND TAGS IN ('red', 'blue')" }
  const consumer = fromFirst(client, own('priced-some'), topic, condition)
  expect(await take(consumer, wanted.size)).toEqual(wanted)
  await consumer.close()
  const unreadable = client.pushConsumer(own('bad'), { [topic]: { sql: 'price >' } })
  await expect(unreadable.start()).rejects.toThrow(RejectedError)
})

test('a_new_group_begins_at_the_end', async ({ skip }) => {
  skip(!server.knowsNewGroups, 'this server takes a new group for one that has committed 0')
  const topic = own('news')
  const group = own('news-late')
  const { client, producer } = await server.withTopic(topic)
  await send(producer, topic, 'old', 8)
  const consumer = await client.pushConsumer(group, { [topic]: '*' }).start()
  await until('all queues are assigned', () => consumer.assignment.length === QUEUES)
  // Where a queue begins is decided with its first pull.
  await until('places to begin', async () =>
    (await server.committedByQueue(group, topic)).every((offset) => offset !== undefined),
  )
  const fresh = await send(producer, topic, 'fresh', 8)
  expect(await take(consumer, 8)).toEqual(fresh)
  await consumer.close()
})

test('a_handler_acknowledges', async () => {
  const topic = own('handled')
  const group = own('handlers')
  const { client, producer } = await server.withTopic(topic)
  const sent = await send(producer, topic, 'h', 10)
  const seen = new Set<string>()
  const consumer = fromFirst(client, group, topic)
  const running = consumer.run((delivery) => void seen.add(delivery.text()))
  await until('all are handled', () => seen.size === 10)
  expect(seen).toEqual(sent)
  const report = await consumer.drain()
  expect(report.abandoned).toBe(0)
  await running
  expect(await server.committed(group, topic)).toBe(10)
})

test('a_handlers_error_delivers_again', async () => {
  const topic = own('failing')
  const { client, producer } = await server.withTopic(topic)
  const attempts: number[] = []
  const errors: unknown[] = []
  const consumer = fromFirst(client, own('failers'), topic)
  const handler = async (delivery: { reconsumeTimes: number }): Promise<void> => {
    attempts.push(delivery.reconsumeTimes)
    if (attempts.length === 1) throw new Error('not this time')
  }
  const running = consumer.run(handler, { onError: (error) => errors.push(error) })
  await producer.send({ topic, body: 'try me' })
  await until('it is tried again', () => attempts.length === 2)
  await consumer.drain()
  await running
  expect(attempts).toEqual([0, 1])
  expect(errors).toEqual([new Error('not this time')])
})

test('nack_delivers_again', async () => {
  const topic = own('again')
  const { client, producer } = await server.withTopic(topic)
  const consumer = await fromFirst(client, own('again-all'), topic).start()
  const sent = await send(producer, topic, 'n', 6)
  for (let time = 0; time < 6; time++) {
    const delivery = await next(consumer)
    expect(delivery.reconsumeTimes).toBe(0)
    await delivery.nack(1_000)
  }
  const again = new Set<string>()
  for (let time = 0; time < 6; time++) {
    const delivery = await next(consumer)
    expect(delivery.reconsumeTimes).toBe(1)
    expect(delivery.topic, 'the retry topic is not shown').toBe(topic)
    await delivery.ack()
    again.add(delivery.text())
  }
  expect(again).toEqual(sent)
  await consumer.close()
})

test('reject_leads_to_the_dead_letters', async () => {
  const topic = own('refused')
  const group = own('refusers')
  const { client, producer } = await server.withTopic(topic)
  const consumer = await fromFirst(client, group, topic).start()
  await send(producer, topic, 'r', 2)
  await (await next(consumer)).reject('cannot be read')
  await (await next(consumer)).ack()
  await until('a dead letter', async () => (await server.stored(`%DLQ%${group}`, 1)) === 1)
  await consumer.close()
  expect(await server.committed(group, topic), 'a rejected message is done with').toBe(2)
})

test('acks_in_any_order_commit_only_what_is_whole', async () => {
  const topic = own('gaps')
  const group = own('gap-makers')
  const { client, producer } = await server.withTopic(topic, 1)
  await send(producer, topic, 'g', 6)
  const consumer = fromFirst(client, group, topic)
  const deliveries = []
  for (let time = 0; time < 6; time++) deliveries.push(await next(consumer))
  for (const index of [5, 1, 3, 0]) await deliveries[index]!.ack()
  await consumer.commit()
  expect(await server.committedByQueue(group, topic, 1)).toEqual([2])
  await consumer.close()

  const again = fromFirst(await server.client(), group, topic)
  expect(await take(again, 4)).toEqual(new Set(['g-2', 'g-3', 'g-4', 'g-5']))
  await again.close()
  expect(await server.committedByQueue(group, topic, 1)).toEqual([6])
})

test('a_consumer_goes_on_where_it_stopped', async () => {
  const topic = own('resumed')
  const group = own('resumers')
  const { client, producer } = await server.withTopic(topic)
  const before = await send(producer, topic, 'before', 8)
  const consumer = fromFirst(client, group, topic)
  expect(await take(consumer, 8)).toEqual(before)
  const report = await consumer.drain()
  expect(report.abandoned).toBe(0)
  const ofTopic = report.committed.filter(({ queue }) => queue.topic === topic)
  expect(ofTopic.reduce((sum, { offset }) => sum + offset, 0)).toBe(8)
  expect(await server.committed(group, topic)).toBe(8)

  const after = await send(producer, topic, 'after', 8)
  const again = fromFirst(await server.client(), group, topic)
  expect(await take(again, 8)).toEqual(after)
  await again.close()
})

test('two_groups_each_see_everything', async () => {
  const topic = own('both')
  const { client, producer } = await server.withTopic(topic)
  const sent = await send(producer, topic, 'b', 8)
  for (const group of [own('both-one'), own('both-two')]) {
    const consumer = fromFirst(client, group, topic)
    expect(await take(consumer, 8), group).toEqual(sent)
    await consumer.close()
  }
})

function holds(consumer: PushConsumer, count: number): Promise<void> {
  return until(`a member holds ${count} queues`, () => consumer.assignment.length === count)
}

test('two_members_share_the_queues', async () => {
  const topic = own('shared')
  const group = own('sharers')
  const { client, producer } = await server.withTopic(topic)
  const one = await fromFirst(client, group, topic).start()
  await holds(one, 4)
  const other = await fromFirst(await server.client(), group, topic).start()
  await holds(one, 2)
  await holds(other, 2)
  const queues = [...one.assignment, ...other.assignment].map(({ queueId }) => queueId)
  expect(new Set(queues).size, 'no queue has two members').toBe(4)

  const sent = await send(producer, topic, 's', 12)
  const received = [...(await take(one, 6)), ...(await take(other, 6))]
  expect(new Set(received)).toEqual(sent)

  await other.close()
  await holds(one, 4)
  const alone = await send(producer, topic, 'alone', 8)
  expect(await take(one, 8)).toEqual(alone)
  await one.close()
})

test('a_dead_members_queues_move', async () => {
  const topic = own('moved')
  const group = own('movers')
  const { client, producer } = await server.withTopic(topic)
  const one = await fromFirst(client, group, topic).start()
  const program = fileURLToPath(new URL('support/member.mjs', import.meta.url))
  const other = spawn(process.execPath, [program, server.nameServer, group, topic], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    await once(other.stdout, 'data')
    await holds(one, 2)
  } finally {
    other.kill('SIGKILL')
  }
  await holds(one, 4)
  const sent = await send(producer, topic, 'm', 8)
  expect(await take(one, 8)).toEqual(sent)
  await one.close()
})
