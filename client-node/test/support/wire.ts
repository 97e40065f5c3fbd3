/**
 * RocketMQ's wire protocol, as small as can be: what tests need to judge a server without trusting
 * the library under test.
 */
import { connect, type Socket } from 'node:net'

const QUERY_CONSUMER_OFFSET = 14
const UPDATE_AND_CREATE_TOPIC = 17
const GET_BROKER_RUNTIME_INFO = 28
const GET_MAX_OFFSET = 30
const GET_BROKER_CLUSTER_INFO = 106

interface Answer {
  code: number
  remark: string
  fields: Record<string, string>
  body: string
}

function frame(code: number, extFields: Record<string, string>): Buffer {
  const header = Buffer.from(
    JSON.stringify({
      code, extFields, flag: 0, language: 'JAVA', opaque: 1, serializeTypeCurrentRPC: 'JSON', version: 407,
    }),
  )
  const lengths = Buffer.alloc(8)
  lengths.writeUInt32BE(4 + header.length, 0)
  lengths.writeUInt32BE(header.length, 4)
  return Buffer.concat([lengths, header])
}

async function readAnswer(socket: Socket): Promise<Answer> {
  let bytes = Buffer.alloc(0)
  for await (const chunk of socket) {
    bytes = Buffer.concat([bytes, chunk as Buffer])
    if (bytes.length < 8 || bytes.length < 4 + bytes.readUInt32BE(0)) continue
    const headerEnd = 8 + (bytes.readUInt32BE(4) & 0xff_ffff)
    const header = JSON.parse(bytes.toString('utf8', 8, headerEnd))
    const body = bytes.toString('utf8', headerEnd, 4 + bytes.readUInt32BE(0))
    return { code: header.code, remark: header.remark ?? '', fields: header.extFields ?? {}, body }
  }
  throw new Error('the server closed the connection')
}

async function call(address: string, code: number, fields: Record<string, string>): Promise<Answer> {
  const colon = address.lastIndexOf(':')
  const socket = connect(Number(address.slice(colon + 1)), address.slice(0, colon))
  try {
    socket.write(frame(code, fields))
    return await readAnswer(socket)
  } finally {
    socket.destroy()
  }
}

/** The address of a cluster's first master. */
export async function brokerOf(nameServer: string): Promise<string> {
  const { body } = await call(nameServer, GET_BROKER_CLUSTER_INFO, {})
  // Apache writes the id, a number, bare.
  const address = /"?0"?:"([^"]+)"/.exec(body)?.[1]
  if (address === undefined) throw new Error(`no broker in ${body}`)
  return address
}

/** The broker's release, for instance `V4_9_7`; empty if it does not say. */
export async function versionOf(broker: string): Promise<string> {
  const { body } = await call(broker, GET_BROKER_RUNTIME_INFO, {})
  return /"brokerVersionDesc":"([^"]+)"/.exec(body)?.[1] ?? ''
}

export async function createTopic(broker: string, topic: string, queues: number): Promise<void> {
  const { code, remark } = await call(broker, UPDATE_AND_CREATE_TOPIC, {
    topic,
    defaultTopic: 'TBW102',
    readQueueNums: String(queues),
    writeQueueNums: String(queues),
    perm: '6',
    topicFilterType: 'SINGLE_TAG',
    topicSysFlag: '0',
    order: 'false',
  })
  if (code !== 0) throw new Error(`creating ${topic}: ${remark}`)
}

/** The offset that a group has committed for a queue; `undefined` if it never did. */
export async function committed(
  broker: string,
  group: string,
  topic: string,
  queueId: number,
): Promise<number | undefined> {
  const { code, fields } = await call(broker, QUERY_CONSUMER_OFFSET, {
    consumerGroup: group,
    topic,
    queueId: String(queueId),
    setZeroIfNotFound: 'false',
  })
  return code === 0 ? Number(fields.offset) : undefined
}

/** How many messages a queue has had. */
export async function maxOffset(broker: string, topic: string, queueId: number): Promise<number> {
  const { fields } = await call(broker, GET_MAX_OFFSET, { topic, queueId: String(queueId) })
  return Number(fields.offset ?? 0)
}
