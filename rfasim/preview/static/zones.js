// Death times: for every voxel the second at which its tissue died. The zone at time t is where the value is <= t,
// so the time slider and the choice of the damage model need no server.

const ALIVE = 65535;

export class DeathTimes {
  constructor(head, buffer) {
    Object.assign(this, { run: head.run, side: head.side, level: head.level, model: head.model });
    this.now = head.time_s;
    this.dim = head.dim;
    this.affine = head.affine; // row after row, voxel to mm RAS
    this.values = new Uint16Array(buffer);
    if (this.values.length !== this.dim[0] * this.dim[1] * this.dim[2]) throw new Error("zone of a wrong size");
  }

  // Voxels dead at a time; the running sum is made once, at the first question.
  count(time) {
    if (!this.dead) {
      const last = this.values.reduce((most, value) => (value === ALIVE ? most : Math.max(most, value)), 0);
      this.dead = new Uint32Array(last + 1);
      for (const value of this.values) if (value !== ALIVE) this.dead[value]++;
      for (let t = 1; t < this.dead.length; t++) this.dead[t] += this.dead[t - 1];
    }
    return this.dead[Math.max(0, Math.min(Math.floor(time), this.dead.length - 1))];
  }

  millilitres(time) {
    const m = this.affine;
    const cell = Math.abs(
      m[0] * (m[5] * m[10] - m[6] * m[9]) - m[1] * (m[4] * m[10] - m[6] * m[8]) + m[2] * (m[4] * m[9] - m[5] * m[8]),
    );
    return (this.count(time) * cell) / 1000;
  }

  // What the slices show: 255 where dead at a time. Membership is interpolated between voxels, never the times:
  // between a dead voxel and one that lives there is no meaningful time.
  field(time) {
    this.bytes ??= new Uint8Array(this.values.length);
    for (let i = 0; i < this.values.length; i++) this.bytes[i] = this.values[i] <= time ? 255 : 0;
    return this.bytes;
  }
}

export class Chance {
  constructor(head, buffer) {
    this.dim = head.dim;
    this.affine = head.affine;
    this.values = new Uint8Array(buffer); // per cent of the runs, 255 outside
  }

  field() {
    return this.values.map((value) => (value > 100 ? 0 : Math.round(2.55 * value)));
  }
}
