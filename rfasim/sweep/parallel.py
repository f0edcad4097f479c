"""A page of parallel coordinates: each run a line across its inputs and outputs; drag along an axis to choose runs."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from rfasim.sweep.rows import INPUT
from rfasim.tables import strict_json

if TYPE_CHECKING:
    from rfasim.sweep.answers import Answers

MOST_LINES = 5000


def page(found: Answers) -> str:
    """The page, self-contained; of more than 5000 runs an even share is shown."""
    from rfasim.sweep.answers import levels_of
    from rfasim.sweep.drawings import label

    table, study = found.table, found.study
    axes: list[dict[str, Any]] = []
    rows = np.arange(table.num_rows)[:: max(-(-table.num_rows // MOST_LINES), 1)]
    runs = table["run"].to_numpy()[rows]
    for k, name in enumerate(study.names):
        if INPUT + name in table.column_names:
            levels = levels_of(study, name, table[INPUT + name].to_pylist())
            axes.append({"name": label(study, name), "levels": levels, "values": found.inputs[runs, k].tolist()})
    for name in found.outputs:
        axes.append({"name": name, "levels": [], "values": found.values[name][runs].tolist()})
    data = json.dumps(strict_json({"axes": axes, "runs": runs.tolist()}), ensure_ascii=False).replace("</", "<\\/")
    shown = f"{len(rows)} of {table.num_rows} runs" if len(rows) < table.num_rows else f"{len(rows)} runs"
    return _PAGE.replace("@TITLE@", html.escape(study.name)).replace("@SHOWN@", shown).replace("@DATA@", data)


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>@TITLE@: parallel coordinates</title>
<style>
body{font:14px system-ui,sans-serif;margin:16px;color:#1d2733;background:#fff}
h1{font-size:18px;margin:0 0 4px}p{margin:4px 0 10px;color:#51606f}
canvas{width:100%;height:70vh;display:block;cursor:crosshair;touch-action:none}
button{font:inherit;padding:4px 10px}
</style></head><body>
<h1>@TITLE@</h1>
<p>@SHOWN@, a line each, coloured by the last axis. Drag along an axis to choose runs; click it to let go.
<button id="clear">Show all</button> <span id="count" aria-live="polite"></span></p>
<canvas id="c" role="img" aria-label="Parallel coordinates of the runs"></canvas>
<script>
"use strict";
const data=@DATA@, axes=data.axes, n=data.runs.length, chosen=axes.map(()=>null);
const canvas=document.getElementById("c"), g=canvas.getContext("2d");
for(const a of axes){const v=a.values.filter(x=>x!==null);
 a.low=Math.min(...v);a.high=Math.max(...v);if(!(a.high>a.low)){a.low-=0.5;a.high+=0.5}}
let w,h;const top_=46,bottom=26;
const X=i=>60+(w-150)*(axes.length>1?i/(axes.length-1):0.5);
const Y=(a,v)=>h-bottom-(h-bottom-top_)*(v-a.low)/(a.high-a.low);
const kept=r=>axes.every((a,i)=>!chosen[i]||(a.values[r]!==null&&a.values[r]>=chosen[i][0]&&a.values[r]<=chosen[i][1]));
const colour=t=>`hsl(${Math.round(240-200*t)} 75% ${Math.round(38+12*t)}%)`;
function line(r){g.beginPath();let on=false;axes.forEach((a,i)=>{const v=a.values[r];if(v===null){on=false;return}
 if(on)g.lineTo(X(i),Y(a,v));else g.moveTo(X(i),Y(a,v));on=true});g.stroke()}
function draw(){const s=devicePixelRatio||1;w=canvas.clientWidth;h=canvas.clientHeight;
 canvas.width=w*s;canvas.height=h*s;
 g.setTransform(s,0,0,s,0,0);g.clearRect(0,0,w,h);const last=axes[axes.length-1];let count=0;
 g.lineWidth=1;g.globalAlpha=0.25;g.strokeStyle="#d6dce2";
 const yes=[];for(let r=0;r<n;r++){if(kept(r))yes.push(r);else line(r)}
 g.globalAlpha=Math.max(0.15,Math.min(0.9,60/Math.sqrt(yes.length+1)/8));
 for(const r of yes){const v=last.values[r];
  g.strokeStyle=v===null?"#999":colour((v-last.low)/(last.high-last.low));line(r);count++}
 g.globalAlpha=1;g.textAlign="center";axes.forEach((a,i)=>{g.strokeStyle="#1d2733";g.fillStyle="#1d2733";
  g.beginPath();g.moveTo(X(i),top_);g.lineTo(X(i),h-bottom);g.stroke();
  g.font="bold 12px system-ui,sans-serif";g.fillText(a.name,X(i),i%2?16:32);g.font="11px system-ui,sans-serif";
  g.textAlign="left";if(a.levels.length)a.levels.forEach((t,k)=>g.fillText(t,X(i)+5,Y(a,k)+4));
  else for(let k=0;k<=4;k++){const v=a.low+(a.high-a.low)*k/4;g.fillText(+v.toPrecision(3),X(i)+5,Y(a,v)+4)}
  g.textAlign="center";
  if(chosen[i]){g.fillStyle="rgba(11,79,138,0.25)";
   const y1=Y(a,chosen[i][1]),y0=Y(a,chosen[i][0]);g.fillRect(X(i)-7,y1,14,y0-y1)}});
 document.getElementById("count").textContent=count+" chosen"}
let drag=null;
const at=e=>{const b=canvas.getBoundingClientRect();return[e.clientX-b.left,e.clientY-b.top]};
canvas.onpointerdown=e=>{const[x,y]=at(e);let best=0;
 axes.forEach((a,i)=>{if(Math.abs(X(i)-x)<Math.abs(X(best)-x))best=i});
 drag={i:best,y};canvas.setPointerCapture(e.pointerId)};
canvas.onpointermove=e=>{if(!drag)return;const[,y]=at(e),a=axes[drag.i];
 const value=p=>a.low+(a.high-a.low)*(h-bottom-p)/(h-bottom-top_);
 chosen[drag.i]=Math.abs(y-drag.y)<4?null:[value(Math.max(y,drag.y)),value(Math.min(y,drag.y))];draw()};
canvas.onpointerup=e=>{if(drag&&Math.abs(at(e)[1]-drag.y)<4)chosen[drag.i]=null;drag=null;draw()};
document.getElementById("clear").onclick=()=>{chosen.fill(null);draw()};
addEventListener("resize",draw);draw();
</script></body></html>
"""
