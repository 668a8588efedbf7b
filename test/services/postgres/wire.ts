import { once } from "node:events";
import { connect } from "node:net";
import { onTestFinished } from "vitest";
import { PASSWORD } from "./support.ts";

function word(text: string): Buffer {
  return Buffer.from(`${text}\0`);
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

export function message(type: string, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(type), int32(4 + body.length), body]);
}

export function startup(): Buffer {
  const body = Buffer.concat([int32(196_608), word("user"), word("postgres"), Buffer.alloc(1)]);
  return Buffer.concat([int32(4 + body.length), body]);
}

/** The messages of a query with one parameter, for the unnamed statement. */
export function parse(sql: string): Buffer {
  return message("P", word(""), word(sql), int16(0));
}

export function bindAndExecute(value: string): Buffer {
  const bind = message(
    "B",
    word(""),
    word(""),
    int16(0),
    int16(1),
    int32(Buffer.byteLength(value)),
    Buffer.from(value),
    int16(0),
  );
  return Buffer.concat([bind, message("E", word(""), int32(0)), message("S")]);
}

/** An authenticated connection that sends what it is told, when it is told. */
export async function connectRaw(port: number) {
  const socket = connect(port, "127.0.0.1");
  onTestFinished(() => void socket.destroy());
  let received = "";
  socket.on("data", (data: Buffer) => {
    received += data.toString("latin1");
  });
  const answerWith = async (marker: string) => {
    while (!received.includes(marker)) await once(socket, "data");
    const answer = received;
    received = "";
    return answer;
  };
  socket.write(startup());
  await answerWith("R");
  socket.write(message("p", word(PASSWORD)));
  await answerWith("Z\0\0\0\x05I");
  return { send: (bytes: Buffer) => socket.write(bytes), untilReady: () => answerWith("Z\0\0\0\x05I") };
}
