/** What the compiler must accept and refuse; it is compiled, never run. */
import {
  connect,
  OxmqError,
  RouteNotFoundError,
  type Client,
  type Delivery,
  type DrainReport,
  type ErrorCode,
  type MessageQueue,
  type Receipt,
} from 'oxmq'
import { DevBroker } from 'oxmq/testing'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
function is<_ extends true>(): void {}

export async function accepts(signal: AbortSignal): Promise<void> {
  await using broker = await DevBroker.start({ settings: { autoCreateTopicEnable: false } })
  await using client = await connect(broker.nameServer, { addressMap: { 'a:1': 'b:2' } })
  is<Equal<typeof client, Client>>()

  await using producer = await client.producer('g', { timeoutMs: 5_000, retries: 1 })
  const receipt = await producer.send(
    { topic: 't', body: new Uint8Array(3), tag: 'a', keys: ['k'], properties: { a: 'b' }, delayLevel: 3 },
    { signal, timeoutMs: 100, shard: 'customer-7' },
  )
  is<Equal<typeof receipt, Receipt>>()
  is<Equal<typeof receipt.queueOffset, number>>()
  const sent = producer.sendOneway({ topic: 't', body: 'text', key: 'k' })
  is<Equal<typeof sent, Promise<void>>>()

  await using consumer = client.pushConsumer('g', { t: 'a || b' }, { consumeFrom: new Date() })
  for await (const delivery of consumer) {
    is<Equal<typeof delivery, Delivery>>()
    is<Equal<typeof delivery.body, Buffer>>()
    is<Equal<typeof delivery.tag, string | undefined>>()
    is<Equal<typeof delivery.queue, MessageQueue>>()
    await delivery.ack()
    await delivery.nack(1_000)
    await delivery.reject('no')
  }
  await consumer.run(async (delivery) => void delivery.text(), { concurrency: 4, signal })
  const report = await consumer.drain(5_000)
  is<Equal<typeof report, DrainReport>>()

  const error: unknown = undefined
  if (error instanceof RouteNotFoundError) is<Equal<typeof error.hint, string | undefined>>()
  if (error instanceof OxmqError) {
    is<Equal<typeof error.code, ErrorCode>>()
    is<Equal<typeof error.stored, 'no' | 'unknown'>>()
  }
}

export async function refuses(client: Client): Promise<void> {
  const producer = await client.producer('g')
  // @ts-expect-error a message has a topic
  await producer.send({ body: 'x' })
  // @ts-expect-error a body is bytes or text
  await producer.send({ topic: 't', body: 7 })
  // @ts-expect-error `tags` is no field of a message
  await producer.send({ topic: 't', body: 'x', tags: 'a' })
  // @ts-expect-error there is no such place to start
  client.pushConsumer('g', { t: '*' }, { consumeFrom: 'middle' })
  const { value } = await client.pushConsumer('g', { t: '*' }).next()
  // @ts-expect-error at the end there is no delivery
  value.topic
}
