// The wire to the server: a websocket that comes back by itself, and fetches that fail with the server's own words.

const WAITS = [300, 700, 1500, 3000, 5000]; // ms before the next try

export class Link {
  constructor({ onEvent, onOpen, onLost }) {
    Object.assign(this, { onEvent, onOpen, onLost });
    this.tries = 0;
    this.connect();
  }

  connect() {
    const address = new URL("/ws", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    this.socket = new WebSocket(address);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => {
      this.tries = 0;
      this.onOpen();
    };
    this.socket.onmessage = ({ data }) => {
      if (typeof data === "string") this.onEvent(JSON.parse(data), null);
      else this.onEvent(...unpacked(data));
    };
    this.socket.onclose = () => {
      this.onLost(this.tries);
      setTimeout(() => this.connect(), WAITS[Math.min(this.tries++, WAITS.length - 1)]);
    };
  }

  get open() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  send(message) {
    if (this.open) this.socket.send(JSON.stringify(message));
    return this.open;
  }
}

// A binary message: length of the JSON head, the head, the array.
function unpacked(data) {
  const size = new DataView(data).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, size)));
  return [head, data.slice(4 + size)];
}

export class Refusal extends Error {
  constructor(message, lines = []) {
    super(message);
    this.lines = lines;
  }
}

async function checked(response) {
  if (response.ok) return response;
  let answer = {};
  try {
    answer = await response.json();
  } catch {
    // no JSON: the status has to do
  }
  throw new Refusal(answer.message ?? `The server answered ${response.status} ${response.statusText}.`, answer.lines);
}

async function asked(url, options) {
  try {
    return await fetch(url, { credentials: "same-origin", ...options });
  } catch {
    throw new Refusal("The server cannot be reached.");
  }
}

// Bytes of a file of the server; null when it has nothing there.
export async function bytes(url) {
  const response = await checked(await asked(url));
  return response.status === 204 ? null : response.arrayBuffer();
}

export async function post(url, body) {
  const response = await checked(await asked(url, { method: "POST", body, headers: { "X-Rfasim": "1" } }));
  return response.json();
}
